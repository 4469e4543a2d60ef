// Statistics of values of one width, all that the choice of a codec looks at (compressors.md 6).
#pragma once

#include <algorithm>
#include <tuple>

#include "bitpack.hpp"
#include "runs.hpp"

namespace lancelet {

// Largest and sum of the bit widths of blocks of 1024 values, runs, and entries of runs that are cut every `max_run`.
template <class T>
std::tuple<size_t, size_t, size_t, size_t> word_stats(Bytes data, int64_t max_run) {
  const auto [runs, entries] = rle_entries<T>(data, max_run);
  constexpr size_t block_bytes = block_values * sizeof(T);
  size_t largest = 0;
  size_t total = 0;
  for (size_t start = 0; start < data.size(); start += block_bytes) {
    const size_t width = bit_width_of(data.subspan(start, std::min(block_bytes, data.size() - start)), 8 * sizeof(T));
    largest = std::max(largest, width);
    total += width;
  }
  return {largest, total, runs, entries};
}

}  // namespace lancelet
