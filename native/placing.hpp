// Small pages on their way into a file: their buffers as one piece, and what their column says of them (container.md 6
// and 7).
#pragma once

#include <algorithm>
#include <tuple>

#include "span.hpp"

namespace lancelet {

namespace detail {

inline size_t varint_bytes(uint64_t value) {
  size_t count = 1;
  for (; value >= 0x80; value >>= 7) ++count;
  return count;
}

inline uint8_t* put_varint(uint8_t* to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<uint8_t>(value | 0x80);
  *to++ = static_cast<uint8_t>(value);
  return to;
}

}  // namespace detail

// The buffers, each padded with 'H'; and the page as a piece of its column's metadata, which ends with `tail`. Returns
// the bytes of both, or -1 and 0 where one does not fit.
inline std::tuple<int64_t, int64_t> join_page(std::span<const Bytes> buffers, uint64_t position, uint64_t alignment,
                                              Bytes tail, MutableBytes out, MutableBytes out_record) {
  using detail::put_varint;
  using detail::varint_bytes;
  require(alignment > 0 && position <= uint64_t{1} << 62, "join_page: the alignment is 0, or the file too large");
  const auto padded = [&](uint64_t start, size_t size) {
    const uint64_t stop = start + size;
    return (stop + alignment - 1) / alignment * alignment - start;
  };
  uint64_t start = position;
  size_t offsets_bytes = 0;
  size_t sizes_bytes = 0;
  for (const Bytes buffer : buffers) {
    offsets_bytes += varint_bytes(start);
    sizes_bytes += varint_bytes(buffer.size());
    if (buffer.size() > out.size()) return {-1, 0};
    start += padded(start, buffer.size());
    if (start - position > out.size()) return {-1, 0};
  }
  size_t body_bytes = tail.size();
  if (!buffers.empty())
    body_bytes += 2 + varint_bytes(offsets_bytes) + varint_bytes(sizes_bytes) + offsets_bytes + sizes_bytes;
  const size_t record_bytes = 1 + varint_bytes(body_bytes) + body_bytes;
  if (record_bytes > out_record.size()) return {-1, 0};

  uint8_t* record = out_record.data();
  *record++ = 0x12;
  record = put_varint(record, body_bytes);
  if (!buffers.empty()) {
    *record++ = 0x0A;
    record = put_varint(record, offsets_bytes);
    start = position;
    uint8_t* to = out.data();
    for (const Bytes buffer : buffers) {
      record = put_varint(record, start);
      const uint64_t size = padded(start, buffer.size());
      to = std::copy_n(buffer.data(), buffer.size(), to);
      to = std::fill_n(to, size - buffer.size(), uint8_t{'H'});
      start += size;
    }
    *record++ = 0x12;
    record = put_varint(record, sizes_bytes);
    for (const Bytes buffer : buffers) record = put_varint(record, buffer.size());
  }
  std::copy_n(tail.data(), tail.size(), record);
  return {static_cast<int64_t>(start - position), static_cast<int64_t>(record_bytes)};
}

}  // namespace lancelet
