// Moving fixed-width values: parts to one array, bits between bitmaps, rows in and out of records (compressors.md 2.1
// and 5.5).
#pragma once

#include <algorithm>

#include "span.hpp"

namespace lancelet {

inline void copy_bytes(uint8_t* to, const uint8_t* from, size_t size) {
  if (size != 0) std::memcpy(to, from, size);
}

// Clears the bits of the last byte that a bitmap of `num_bits` does not use.
inline void clear_spare_bits(uint8_t* bitmap, size_t num_bits) {
  if (num_bits % 8 != 0) bitmap[num_bits / 8] = static_cast<uint8_t>(bitmap[num_bits / 8] & ((1u << num_bits % 8) - 1));
}

// Copies `count` bits from bit 0 of `from` to bit `at` of `to`, where all earlier bits are in place and spare ones are
// zero.
inline void append_bits(const uint8_t* from, size_t count, uint8_t* __restrict to, size_t at) {
  if (count == 0) return;
  const size_t num_in = bitmap_bytes(count);
  const unsigned shift = at % 8;
  uint8_t* first = to + at / 8;
  if (shift == 0) {
    copy_bytes(first, from, num_in);
  } else {
    first[0] = static_cast<uint8_t>(first[0] | from[0] << shift);
    for (size_t i = 1; i < num_in; ++i) first[i] = static_cast<uint8_t>(from[i] << shift | from[i - 1] >> (8 - shift));
    if (bitmap_bytes(shift + count) > num_in) first[num_in] = static_cast<uint8_t>(from[num_in - 1] >> (8 - shift));
  }
  clear_spare_bits(first, shift + count);
}

// Copies `count` bits from bit `at` of `from` to bit 0 of `to`; spare bits of the last byte become zero.
inline void extract_bits(const uint8_t* from, size_t at, size_t count, uint8_t* __restrict to) {
  if (count == 0) return;
  const size_t num_out = bitmap_bytes(count);
  const unsigned shift = at % 8;
  const uint8_t* first = from + at / 8;
  if (shift == 0) {
    copy_bytes(to, first, num_out);
  } else {
    for (size_t i = 0; i + 1 < num_out; ++i)
      to[i] = static_cast<uint8_t>(first[i] >> shift | first[i + 1] << (8 - shift));
    const unsigned above = bitmap_bytes(shift + count) > num_out ? first[num_out] : 0u;
    to[num_out - 1] = static_cast<uint8_t>(first[num_out - 1] >> shift | above << (8 - shift));
  }
  clear_spare_bits(to, count);
}

inline void flat_gather(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                        std::span<const int64_t> counts, int64_t bits, MutableBytes out) {
  require(bits > 0 && bits % 8 == 0, "bits must be a multiple of 8");
  require(offsets.size() == counts.size() && sizes.size() == counts.size(),
          "offsets, sizes and counts differ in length");
  const uint64_t value_bytes = static_cast<uint64_t>(bits / 8);
  for (size_t i = 0; i < counts.size(); ++i) {
    const Bytes part = checked_slice(data, offsets[i], sizes[i]);
    check_data(counts[i] >= 0 && part.size() % value_bytes == 0 &&
                   part.size() / value_bytes == static_cast<uint64_t>(counts[i]),
               "the size of a flat buffer does not fit its number of values");
    require(part.size() <= out.size(), "the counts do not fit the output");
    copy_bytes(out.data(), part.data(), part.size());
    out = out.subspan(part.size());
  }
  require(out.empty(), "the counts do not fit the output");
}

inline void flat_bits_decode(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                             std::span<const int64_t> counts, MutableBytes out) {
  require(offsets.size() == counts.size() && sizes.size() == counts.size(),
          "offsets, sizes and counts differ in length");
  size_t position = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const Bytes part = checked_slice(data, offsets[i], sizes[i]);
    check_data(counts[i] >= 0 && part.size() == bitmap_bytes(static_cast<size_t>(counts[i])),
               "the size of a bitmap does not fit its number of values");
    const size_t count = static_cast<size_t>(counts[i]);
    require(bitmap_bytes(position + count) <= out.size(), "the counts do not fit the output");
    append_bits(part.data(), count, out.data(), position);
    position += count;
  }
  require(bitmap_bytes(position) == out.size(), "the counts do not fit the output");
}

inline void flat_bits_encode(Bytes data, std::span<const int64_t> counts, MutableBytes out) {
  size_t position = 0;
  size_t written = 0;
  for (int64_t count : counts) {
    require(count >= 0 && static_cast<uint64_t>(count) / 8 <= data.size(), "the counts do not fit the values");
    const size_t num_bits = static_cast<size_t>(count);
    require(bitmap_bytes(position + num_bits) <= data.size(), "the counts do not fit the values");
    require(bitmap_bytes(num_bits) <= out.size() - written, "the counts do not fit the output");
    extract_bits(data.data(), position, num_bits, out.data() + written);
    position += num_bits;
    written += bitmap_bytes(num_bits);
  }
  require(bitmap_bytes(position) == data.size(), "the counts do not fit the values");
  require(written == out.size(), "the counts do not fit the output");
}

// Where one field stands in records of one size: checked once, then used for every row.
struct RecordField {
  size_t num_rows;
  size_t record_bytes;
  size_t position;
  size_t row_bits;

  RecordField(size_t rows, size_t records_size, int64_t record, int64_t start, int64_t bits)
      : num_rows(rows),
        record_bytes(static_cast<size_t>(record)),
        position(static_cast<size_t>(start)),
        row_bits(static_cast<size_t>(bits)) {
    require(record > 0 && start >= 0 && bits >= 0, "a record or its field has a negative size");
    require(records_size % record_bytes == 0 && records_size / record_bytes == rows,
            "the records do not fit the number of rows");
    require(position <= record_bytes && bitmap_bytes(row_bits) <= record_bytes - position,
            "a field lies outside of its record");
  }

  // The bitmap of all rows without gaps.
  void require_bitmap(size_t size) const {
    require(row_bits == 0 || num_rows <= (SIZE_MAX - 7) / row_bits, "the rows are too many");
    require(size == bitmap_bytes(num_rows * row_bits), "the bits do not fit the number of rows");
  }
};

inline void records_put(Bytes data, int64_t num_rows, int64_t row_bits, int64_t record_bytes, int64_t position,
                        MutableBytes out) {
  require(num_rows >= 0, "the number of rows is negative");
  const RecordField field(static_cast<size_t>(num_rows), out.size(), record_bytes, position, row_bits);
  field.require_bitmap(data.size());
  for (size_t row = 0; row < field.num_rows; ++row) {
    uint8_t* to = out.data() + row * field.record_bytes + field.position;
    extract_bits(data.data(), row * field.row_bits, field.row_bits, to);
  }
}

inline void records_get(Bytes data, int64_t num_rows, int64_t row_bits, int64_t record_bytes, int64_t position,
                        MutableBytes out) {
  require(num_rows >= 0, "the number of rows is negative");
  const RecordField field(static_cast<size_t>(num_rows), data.size(), record_bytes, position, row_bits);
  field.require_bitmap(out.size());
  for (size_t row = 0; row < field.num_rows; ++row) {
    const uint8_t* from = data.data() + row * field.record_bytes + field.position;
    append_bits(from, field.row_bits, out.data(), row * field.row_bits);
  }
}

}  // namespace lancelet
