// Bit-packing of 1024-value blocks in FastLanes order (compressors.md 3).
//
// A block of T-bit values is T rows of 1024 / T lanes. Whatever T is, a row is 128 bytes that lie together among the
// values, and the k-th words of all lanes are 128 bytes that lie together in the packed block. So no kernel here is
// written per T: a row is shifted as 16 words of 64 bits, and masks that repeat in every lane remove what crossed from
// one lane into its neighbour.
#pragma once

#include <algorithm>
#include <bit>

#include "span.hpp"

namespace lancelet {

inline constexpr size_t block_values = 1024;
inline constexpr size_t row_bytes = 128;

inline void require_word_bits(unsigned bits) {
  require(bits == 8 || bits == 16 || bits == 32 || bits == 64, "bits must be 8, 16, 32 or 64");
}

inline uint64_t low_bits(unsigned count) { return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1; }

// 1 in every lane of `bits` bits; times a mask of one lane it gives the mask of all.
inline uint64_t one_per_lane(unsigned bits) { return ~uint64_t{0} / low_bits(bits); }

// Where the packed bits of a row begin: in which of the T-bit words of a lane, and at which bit of it. T is a power of
// two.
struct PackedRow {
  size_t offset;  // of the words, in bytes
  unsigned shift;

  PackedRow(unsigned row, unsigned bits, unsigned width)
      : offset((row * width >> std::countr_zero(bits)) * row_bytes), shift(row * width & (bits - 1)) {}
};

// Where row `row` starts among the values, in bytes.
inline size_t row_offset(unsigned row, unsigned bits) {
  constexpr size_t order[8] = {0, 4, 2, 6, 1, 5, 3, 7};
  return (order[row / 8] * 16 + size_t{row % 8} * 128) * (bits / 8);
}

// Calls `word(offset)` for the 16 words of a row. gcc would unroll the loop before it looks for vectors, and then find
// none.
template <class Word>
void for_row(Word&& word) {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1
#endif
  for (size_t offset = 0; offset < row_bytes; offset += sizeof(uint64_t)) word(offset);
}

inline size_t packed_bytes(unsigned width) { return row_bytes * width; }

// values: 1024 values; out: 128 * width bytes. Bits above `width` are dropped.
inline void pack_block(const uint8_t* values, unsigned bits, unsigned width, uint8_t* __restrict out) {
  const uint64_t lanes = one_per_lane(bits);
  for (unsigned row = 0; width != 0 && row < bits; ++row) {
    const PackedRow place(row, bits, width);
    const unsigned shift = place.shift;
    const unsigned kept = std::min(width, bits - shift);
    const uint64_t mask = low_bits(kept) * lanes;
    const uint8_t* from = values + row_offset(row, bits);
    uint8_t* to = out + place.offset;
    if (shift == 0) {
      for_row([=](size_t i) { store<uint64_t>(to + i, load<uint64_t>(from + i) & mask); });
      continue;
    }
    for_row([=](size_t i) {
      const uint64_t word = load<uint64_t>(from + i) & mask;
      store<uint64_t>(to + i, load<uint64_t>(to + i) | word << shift);
    });
    if (kept == width) continue;
    const uint64_t rest = low_bits(width - kept) * lanes;
    for_row([=](size_t i) { store<uint64_t>(to + row_bytes + i, load<uint64_t>(from + i) >> kept & rest); });
  }
}

// packed: 128 * width bytes; out: 1024 values.
inline void unpack_block(const uint8_t* packed, unsigned bits, unsigned width, uint8_t* __restrict out) {
  if (width == 0) {
    std::memset(out, 0, packed_bytes(bits));
    return;
  }
  const uint64_t lanes = one_per_lane(bits);
  const uint64_t mask = low_bits(width) * lanes;
  for (unsigned row = 0; row < bits; ++row) {
    const PackedRow place(row, bits, width);
    const unsigned shift = place.shift;
    const unsigned kept = bits - shift;
    const uint8_t* from = packed + place.offset;
    uint8_t* to = out + row_offset(row, bits);
    if (kept >= width) {
      for_row([=](size_t i) { store<uint64_t>(to + i, load<uint64_t>(from + i) >> shift & mask); });
      continue;
    }
    const uint64_t low = low_bits(kept) * lanes;
    const uint64_t high = mask & ~low;
    for_row([=](size_t i) {
      const uint64_t first = load<uint64_t>(from + i) >> shift & low;
      const uint64_t second = load<uint64_t>(from + row_bytes + i) << kept & high;
      store<uint64_t>(to + i, first | second);
    });
  }
}

// The same for a block of `count` <= 1024 values; missing values are packed as zeros.
inline void pack_short(const uint8_t* values, size_t count, unsigned bits, unsigned width, uint8_t* out) {
  if (count == block_values) return pack_block(values, bits, width, out);
  uint8_t padded[block_values * 8];
  const size_t num_bytes = count * (bits / 8);
  if (num_bytes != 0) std::memcpy(padded, values, num_bytes);
  std::memset(padded + num_bytes, 0, packed_bytes(bits) - num_bytes);
  pack_block(padded, bits, width, out);
}

inline void unpack_short(const uint8_t* packed, size_t count, unsigned bits, unsigned width, uint8_t* out) {
  if (count == block_values) return unpack_block(packed, bits, width, out);
  uint8_t padded[block_values * 8];
  unpack_block(packed, bits, width, padded);
  const size_t num_bytes = count * (bits / 8);
  if (num_bytes != 0) std::memcpy(out, padded, num_bytes);
}

// Number of significant bits of the OR of all values.
inline unsigned bit_width_of(Bytes values, unsigned bits) {
  uint64_t all = 0;
  const size_t whole = values.size() / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) all |= load<uint64_t>(values.data() + i);
  uint64_t tail = 0;
  if (whole != values.size()) std::memcpy(&tail, values.data() + whole, values.size() - whole);
  all |= tail;
  for (unsigned shift = 32; shift >= bits; shift /= 2) all |= all >> shift;
  return static_cast<unsigned>(std::bit_width(all & low_bits(bits)));
}

inline void bit_widths(Bytes data, unsigned bits, MutableBytes out) {
  require_word_bits(bits);
  const size_t value_bytes = bits / 8;
  require(data.size() % value_bytes == 0, "the data is not a whole number of values");
  const size_t block_bytes = block_values * value_bytes;
  require(out.size() == data.size() / block_bytes + (data.size() % block_bytes != 0),
          "there must be one width per 1024 values");
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t start = i * block_bytes;
    out[i] = static_cast<uint8_t>(bit_width_of(data.subspan(start, std::min(block_bytes, data.size() - start)), bits));
  }
}

// Takes the next `count` values off `data`, or puts them into it: what is left must hold them.
template <class Span>
Span take_values(Span& data, int64_t count, unsigned bits) {
  const size_t value_bytes = bits / 8;
  require(count >= 0 && static_cast<uint64_t>(count) <= data.size() / value_bytes, "the counts do not fit the values");
  const Span taken = data.first(static_cast<size_t>(count) * value_bytes);
  data = data.subspan(taken.size());
  return taken;
}

inline void block_widths(Bytes data, std::span<const int64_t> counts, unsigned bits, MutableBytes out) {
  require_word_bits(bits);
  require(out.size() == counts.size(), "there must be one width per block");
  for (size_t i = 0; i < counts.size(); ++i) {
    out[i] = static_cast<uint8_t>(bit_width_of(take_values(data, counts[i], bits), bits));
  }
  require(data.empty(), "the counts do not fit the values");
}

inline size_t inline_pack(Bytes data, std::span<const int64_t> counts, unsigned bits, Bytes widths, MutableBytes out) {
  require_word_bits(bits);
  require(widths.size() == counts.size(), "there must be one width per block");
  size_t written = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const unsigned width = widths[i];
    require(counts[i] <= static_cast<int64_t>(block_values), "a block has at most 1024 values");
    require(width <= bits, "a width is larger than the values");
    const Bytes values = take_values(data, counts[i], bits);
    require(out.size() - written >= bits / 8 + packed_bytes(width), "the output is too small");
    uint8_t* to = out.data() + written;
    std::memset(to, 0, bits / 8);
    to[0] = static_cast<uint8_t>(width);
    pack_short(values.data(), static_cast<size_t>(counts[i]), bits, width, to + bits / 8);
    written += bits / 8 + packed_bytes(width);
  }
  require(data.empty(), "the counts do not fit the values");
  return written;
}

// A block that carries its width: checked.
struct InlineBlock {
  const uint8_t* packed;
  unsigned width;

  InlineBlock(Bytes block, int64_t count, unsigned bits) {
    check_data(count >= 0 && count <= static_cast<int64_t>(block_values),
               "a bit-packed block has more than 1024 values");
    check_data(block.size() >= bits / 8, "a bit-packed block is shorter than its header");
    uint64_t stated = 0;
    std::memcpy(&stated, block.data(), bits / 8);
    check_data(stated <= bits, "the width of a bit-packed block is larger than its values");
    width = static_cast<unsigned>(stated);
    check_data(block.size() == bits / 8 + packed_bytes(width), "the size of a bit-packed block does not fit its width");
    packed = block.data() + bits / 8;
  }
};

inline void inline_unpack(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                          std::span<const int64_t> counts, unsigned bits, MutableBytes out) {
  require_word_bits(bits);
  require(offsets.size() == counts.size() && sizes.size() == counts.size(),
          "offsets, sizes and counts differ in length");
  for (size_t i = 0; i < counts.size(); ++i) {
    const InlineBlock block(checked_slice(data, offsets[i], sizes[i]), counts[i], bits);
    const MutableBytes values = take_values(out, counts[i], bits);
    unpack_short(block.packed, static_cast<size_t>(counts[i]), bits, block.width, values.data());
  }
  require(out.empty(), "the counts do not fit the values");
}

inline void require_width(unsigned bits, unsigned width) {
  require_word_bits(bits);
  require(width <= bits, "the width is larger than the values");
}

inline size_t out_of_line_pack(Bytes data, std::span<const int64_t> counts, unsigned bits, unsigned width,
                               MutableBytes out, std::span<int64_t> out_sizes) {
  require_width(bits, width);
  require(out_sizes.size() == counts.size(), "there must be one size per block");
  const size_t full = packed_bytes(width);
  size_t written = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    Bytes values = take_values(data, counts[i], bits);
    const size_t start = written;
    while (!values.empty()) {
      const size_t count = std::min(values.size() / (bits / 8), block_values);
      const size_t raw = count * (bits / 8);
      const bool packed = count == block_values || raw > full;
      const size_t size = packed ? full : raw;
      require(out.size() - written >= size, "the output is too small");
      if (packed) {
        pack_short(values.data(), count, bits, width, out.data() + written);
      } else {
        std::memcpy(out.data() + written, values.data(), raw);
      }
      written += size;
      values = values.subspan(raw);
    }
    out_sizes[i] = static_cast<int64_t>(written - start);
  }
  require(data.empty(), "the counts do not fit the values");
  return written;
}

inline void out_of_line_unpack(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                               std::span<const int64_t> counts, unsigned bits, unsigned width, MutableBytes out) {
  require_width(bits, width);
  require(offsets.size() == counts.size() && sizes.size() == counts.size(),
          "offsets, sizes and counts differ in length");
  const size_t full = packed_bytes(width);
  for (size_t i = 0; i < counts.size(); ++i) {
    Bytes block = checked_slice(data, offsets[i], sizes[i]);
    MutableBytes values = take_values(out, counts[i], bits);
    while (!values.empty()) {
      const size_t count = std::min(values.size() / (bits / 8), block_values);
      const size_t raw = count * (bits / 8);
      if (count < block_values && block.size() == raw) {
        std::memcpy(values.data(), block.data(), raw);
        block = {};
      } else {
        check_data(block.size() >= full, "a bit-packed sequence is too short");
        unpack_short(block.data(), count, bits, width, values.data());
        block = block.subspan(full);
      }
      values = values.subspan(raw);
    }
    check_data(block.empty(), "a bit-packed sequence is too long");
  }
  require(out.empty(), "the counts do not fit the values");
}

}  // namespace lancelet
