// Raw LZ4 blocks, read strictly: the output size is known and must be met exactly (compressors.md 5.3).
//
//   sequence   token: high 4 bits literals, low 4 bits match length - 4; 15 is followed by bytes that add up, until one
//   is < 255
//              literals | u16 distance back, 1.. | more match length
//   block      sequences; the last one ends after its literals
#pragma once

#include "span.hpp"

namespace lancelet {

inline constexpr size_t lz4_min_match = 4;

// Adds the bytes that follow a nibble of 15. The sum cannot overflow: a block is far shorter than 2^56 bytes.
inline size_t lz4_length(size_t nibble, const uint8_t*& at, const uint8_t* stop) {
  if (nibble < 15) return nibble;
  size_t length = nibble;
  uint8_t more = 255;
  while (more == 255) {
    check_data(at < stop, "lz4: a block ends inside of a length");
    more = *at++;
    length += more;
  }
  return length;
}

// Copies `length` bytes from `distance` before `to`; source and target may overlap and then repeat.
inline void lz4_copy_match(uint8_t* to, size_t distance, size_t length, const uint8_t* to_stop) {
  const uint8_t* from = to - distance;
  if (distance >= 16 && static_cast<size_t>(to_stop - to) >= length + 16) {
    for (size_t i = 0; i < length; i += 16) std::memcpy(to + i, from + i, 16);
  } else if (distance >= 8 && static_cast<size_t>(to_stop - to) >= length + 8) {
    for (size_t i = 0; i < length; i += 8) std::memcpy(to + i, from + i, 8);
  } else {
    for (size_t i = 0; i < length; ++i) to[i] = from[i];
  }
}

inline void lz4_decode_block(Bytes block, MutableBytes out) {
  const uint8_t* at = block.data();
  const uint8_t* const stop = at + block.size();
  uint8_t* to = out.data();
  uint8_t* const to_stop = to + out.size();
  while (true) {
    check_data(at < stop, "lz4: a block does not end in literals");
    const uint8_t token = *at++;
    const size_t num_literals = lz4_length(token >> 4, at, stop);
    check_data(num_literals <= static_cast<size_t>(stop - at), "lz4: literals reach past the block");
    check_data(num_literals <= static_cast<size_t>(to_stop - to),
               "lz4: a block decodes to more than its declared size");
    if (num_literals <= 16 && stop - at >= 16 && to_stop - to >= 16) {
      std::memcpy(to, at, 16);
    } else if (num_literals > 0) {
      std::memcpy(to, at, num_literals);
    }
    at += num_literals;
    to += num_literals;
    if (at == stop) break;

    check_data(stop - at >= 2, "lz4: a block ends inside of a match");
    const size_t distance = load<uint16_t>(at);
    at += 2;
    check_data(distance > 0 && distance <= static_cast<size_t>(to - out.data()),
               "lz4: a match starts before its block");
    const size_t length = lz4_length(token & 15, at, stop) + lz4_min_match;
    check_data(length <= static_cast<size_t>(to_stop - to), "lz4: a block decodes to more than its declared size");
    lz4_copy_match(to, distance, length, to_stop);
    to += length;
  }
  check_data(to == to_stop, "lz4: a block decodes to less than its declared size");
}

// Block i is data[offsets[i] : offsets[i] + sizes[i]] and fills out[out_offsets[i] : out_offsets[i + 1]].
inline void lz4_decode(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes, MutableBytes out,
                       std::span<const int64_t> out_offsets) {
  require(sizes.size() == offsets.size() && out_offsets.size() == offsets.size() + 1,
          "lz4_decode: n offsets, n sizes and n + 1 out_offsets are needed");
  for (size_t i = 0; i < offsets.size(); ++i) {
    require(out_offsets[i] >= 0 && out_offsets[i] <= out_offsets[i + 1] &&
                static_cast<uint64_t>(out_offsets[i + 1]) <= out.size(),
            "lz4_decode: out_offsets do not lie inside of out");
  }
  for (size_t i = 0; i < offsets.size(); ++i) {
    const auto start = static_cast<size_t>(out_offsets[i]);
    lz4_decode_block(checked_slice(data, offsets[i], sizes[i]),
                     out.subspan(start, static_cast<size_t>(out_offsets[i + 1]) - start));
  }
}

}  // namespace lancelet
