// Bit-packing of 1024-value blocks in FastLanes order (compressors.md 3).
#pragma once

#include "span.hpp"

namespace lancelet {

// widths[i] = number of significant bits of the OR of the i-th 1024 values; the last block may be short.
template <class T>
void bit_widths(std::span<const T> values, MutableBytes widths) {
  constexpr size_t block = 1024;
  require(widths.size() == (values.size() + block - 1) / block, "bit_widths: one width per 1024 values");
  for (size_t i = 0; i < widths.size(); ++i) {
    const auto part = values.subspan(i * block, std::min(block, values.size() - i * block));
    T all = 0;
    for (T value : part) all = static_cast<T>(all | value);
    widths[i] = static_cast<uint8_t>(std::bit_width(all));
  }
}

}  // namespace lancelet
