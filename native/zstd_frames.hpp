// Frames of zstd that hold nothing compressed, which is what incompressible values become (compressors.md 5.3, RFC 8878
// 3.1.1): their bytes only need to be copied. All others are left to the library, and so is whatever is doubtful here:
// dictionaries, checksums, skippable frames, several frames, sizes that are not stated.
//
//   buffer   u64 size of the value | frame, and nothing after it
//   frame    28 b5 2f fd | descriptor | u8 window, unless a single segment | u8, u16 (less 256), u32 or u64 size |
//   blocks block    3 bytes: bit 0 last, bits 1..2 type, bits 3.. size | raw (0): the bytes | RLE (1): one byte,
//   repeated
#pragma once

#include <algorithm>

#include "span.hpp"

namespace lancelet {

inline constexpr uint32_t zstd_magic = 0xfd2fb528;
inline constexpr size_t zstd_most_block_bytes = size_t{1} << 17;
inline constexpr unsigned zstd_most_window_log = 27;
inline constexpr size_t zstd_size_bytes = 8;

struct ZstdBlocks {
  Bytes data;
  size_t most_block_bytes = 0;
};

// The blocks of a compressed buffer whose value has `num_bytes`; without data when it is not to be read here.
inline ZstdBlocks zstd_blocks(Bytes buffer, uint64_t num_bytes) {
  constexpr size_t before_window = zstd_size_bytes + 5;
  if (num_bytes == 0 || buffer.size() < before_window) return {};
  if (load<uint64_t>(buffer.data()) != num_bytes) return {};
  if (load<uint32_t>(buffer.data() + zstd_size_bytes) != zstd_magic) return {};
  const unsigned descriptor = buffer[zstd_size_bytes + 4];
  if ((descriptor & 0x1f) != 0) return {};  // a dictionary, a checksum, or bits without a meaning
  const bool is_single = (descriptor & 0x20) != 0;
  const unsigned size_code = descriptor >> 6;
  if (size_code == 0 && !is_single) return {};
  const size_t size_bytes = size_t{1} << size_code;
  const size_t head = before_window + (is_single ? 0 : 1);
  if (buffer.size() < head + size_bytes) return {};

  uint64_t stated = 0;
  std::memcpy(&stated, buffer.data() + head, size_bytes);
  if (size_code == 1) stated += 256;
  if (stated != num_bytes) return {};
  uint64_t window = num_bytes;
  if (!is_single) {
    const unsigned window_log = 10 + (buffer[before_window] >> 3);
    if (window_log > zstd_most_window_log) return {};
    window = (uint64_t{1} << window_log) / 8 * (8 + (buffer[before_window] & 7));
  }
  return {buffer.subspan(head + size_bytes), static_cast<size_t>(std::min<uint64_t>(window, zstd_most_block_bytes))};
}

// Whether the blocks are all raw or RLE and give exactly `num_bytes`. Hands each to copy(is_run, from, size).
template <class Copy>
inline bool zstd_walk(const ZstdBlocks& blocks, uint64_t num_bytes, Copy&& copy) {
  constexpr size_t head_bytes = 3;
  Bytes left = blocks.data;
  for (bool is_last = false; !is_last;) {
    if (left.size() < head_bytes) return false;
    const size_t head = left[0] | static_cast<size_t>(left[1]) << 8 | static_cast<size_t>(left[2]) << 16;
    left = left.subspan(head_bytes);
    is_last = (head & 1) != 0;
    const size_t type = head >> 1 & 3;
    const size_t size = head >> 3;
    if (type > 1 || size > blocks.most_block_bytes || size > num_bytes) return false;
    const bool is_run = type == 1;
    const size_t stored = is_run ? 1 : size;
    if (stored > left.size() || (is_run && size == 0)) return false;
    copy(is_run, left.data(), size);
    left = left.subspan(stored);
    num_bytes -= size;
  }
  return num_bytes == 0 && left.empty();
}

// The value of buffer i has sizes[i] bytes and stands in `out` after those before it. taken[i] says whether it does:
// the room of others is left as it was. Returns how many values were taken.
inline int64_t zstd_copy_raw(std::span<const Bytes> buffers, std::span<const int64_t> sizes, MutableBytes out,
                             MutableBytes taken) {
  require(sizes.size() == buffers.size() && taken.size() == buffers.size(),
          "zstd_copy_raw: one size and one place in taken a buffer");
  int64_t num_taken = 0;
  for (size_t i = 0; i < buffers.size(); ++i) {
    require(sizes[i] >= 0 && static_cast<uint64_t>(sizes[i]) <= out.size(),
            "zstd_copy_raw: the values do not fit into the output");
    const auto num_bytes = static_cast<size_t>(sizes[i]);
    const ZstdBlocks blocks = zstd_blocks(buffers[i], num_bytes);
    taken[i] = zstd_walk(blocks, num_bytes, [](bool, const uint8_t*, size_t) {}) ? 1 : 0;
    if (taken[i] != 0) {
      uint8_t* to = out.data();
      zstd_walk(blocks, num_bytes, [&to](bool is_run, const uint8_t* from, size_t size) {
        to = is_run ? std::fill_n(to, size, *from) : std::copy_n(from, size, to);
      });
      ++num_taken;
    }
    out = out.subspan(num_bytes);
  }
  require(out.empty(), "zstd_copy_raw: the values do not fill the output");
  return num_taken;
}

}  // namespace lancelet
