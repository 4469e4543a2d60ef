// Small mini-block pages of one width in one call: cut, pack and frame them (structural.md 5, compressors.md 2.1 and
// 3).
#pragma once

#include "bitpack.hpp"
#include "miniblock.hpp"

namespace lancelet {

// Values of one width, or packed levels, as the parts of chunks.
struct ChunkParts {
  std::vector<uint8_t> packed;
  Bytes data;
  std::vector<int64_t> sizes;

  Bytes raw_sizes() const { return {reinterpret_cast<const uint8_t*>(sizes.data()), sizes.size() * sizeof(int64_t)}; }
};

inline ChunkParts packed_parts(Bytes data, unsigned bits, std::span<const int64_t> counts) {
  std::vector<uint8_t> widths(counts.size());
  block_widths(data, counts, bits, widths);
  ChunkParts parts;
  size_t total = 0;
  for (const unsigned width : widths) {
    parts.sizes.push_back(static_cast<int64_t>(bits / 8 + packed_bytes(width)));
    total += bits / 8 + packed_bytes(width);
  }
  parts.packed.resize(total);
  inline_pack(data, counts, bits, widths, parts.packed);
  parts.data = parts.packed;
  return parts;
}

inline ChunkParts flat_parts(Bytes data, unsigned bits, std::span<const int64_t> counts) {
  ChunkParts parts;
  parts.data = data;
  for (const int64_t count : counts) parts.sizes.push_back((count * bits + 7) / 8);
  return parts;
}

// Chunks of `chunk_values` values, flat or bit-packed, with bit-packed levels if there are any. Returns the bytes of
// the chunks, or -1 where a limit is broken.
template <class Word>
int64_t miniblock_small(Bytes data, int64_t num_values, unsigned bits, bool packed, int64_t chunk_values,
                        std::span<const uint16_t> def, bool large, MutableBytes words, MutableBytes out) {
  require(num_values > 0 && chunk_values >= 2 && num_values <= int64_t{1} << 32, "miniblock_small: no values");
  require(bits == 1 || (bits % 8 == 0 && bits > 0 && bits <= 1 << 16), "bits must be 1 or whole bytes");
  require(bits != 1 || chunk_values % 8 == 0, "chunks of bits are whole bytes");
  require(data.size() == (static_cast<uint64_t>(num_values) * bits + 7) / 8,
          "the data has another size than the values");
  require(def.empty() || def.size() == static_cast<size_t>(num_values), "there must be one level a value");
  std::vector<int64_t> counts;
  for (int64_t rest = num_values; rest > 0; rest -= chunk_values) counts.push_back(std::min(rest, chunk_values));

  const ChunkParts values = packed ? packed_parts(data, bits, counts) : flat_parts(data, bits, counts);
  ChunkParts levels;
  if (!def.empty()) levels = packed_parts({reinterpret_cast<const uint8_t*>(def.data()), def.size_bytes()}, 16, counts);
  const Bytes sizes[2] = {levels.raw_sizes(), values.raw_sizes()};
  const Bytes parts[2] = {levels.data, values.data};
  const size_t skipped = def.empty() ? 1 : 0;
  const FrameShape shape{std::span(sizes).subspan(skipped), 1 - skipped, large};
  const int64_t num_bytes = miniblock_words<Word>(counts, counts, shape, words);
  if (num_bytes < 0) return num_bytes;
  require(static_cast<uint64_t>(num_bytes) <= out.size(), "the chunks do not fit the output");
  miniblock_frame(counts, std::span(parts).subspan(skipped), shape, out.first(static_cast<size_t>(num_bytes)));
  return num_bytes;
}

}  // namespace lancelet
