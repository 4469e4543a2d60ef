// Bodies of blobs as they lie in a file: one after the other, each padded to a multiple of the alignment (container.md
// 1).
#pragma once

#include <algorithm>
#include <bit>

#include "span.hpp"

namespace lancelet {

// Part i of the data is sizes[i] bytes at starts[i]; `out` has exactly the room for all parts with their padding.
inline void pad_parts(Bytes data, std::span<const int64_t> starts, std::span<const int64_t> sizes, int64_t alignment,
                      int64_t fill, MutableBytes out) {
  require(starts.size() == sizes.size(), "pad_parts: one size a part");
  require(alignment > 0 && std::has_single_bit(static_cast<uint64_t>(alignment)),
          "pad_parts: the alignment must be a power of two");
  require(fill >= 0 && fill < 256, "pad_parts: the fill must be a byte");
  const size_t last = static_cast<size_t>(alignment) - 1;
  for (size_t i = 0; i < starts.size(); ++i) {
    require(starts[i] >= 0 && sizes[i] >= 0 && static_cast<uint64_t>(starts[i]) <= data.size() &&
                static_cast<uint64_t>(sizes[i]) <= data.size() - static_cast<size_t>(starts[i]),
            "pad_parts: a part lies outside of the data");
    const auto size = static_cast<size_t>(sizes[i]);
    const size_t padding = (~size + 1) & last;
    require(size <= out.size() && padding <= out.size() - size, "pad_parts: the parts do not fit into the output");
    std::copy_n(data.data() + starts[i], size, out.data());
    std::fill_n(out.data() + size, padding, static_cast<uint8_t>(fill));
    out = out.subspan(size + padding);
  }
  require(out.empty(), "pad_parts: the parts do not fill the output");
}

}  // namespace lancelet
