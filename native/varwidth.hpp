// Values of variable width in chunks and in blocks (compressors.md 2.2).
#pragma once

#include <algorithm>
#include <limits>

#include "span.hpp"

namespace lancelet {

// Item `index` of an unaligned little-endian array.
template <class T>
inline T item(Bytes data, size_t index) {
  return load<T>(data.data() + index * sizeof(T));
}

// The two forms share all but what stands before the offsets and where these count from.
//
//   chunk   offsets from the start of the buffer | values | 0x48 up to a multiple of the offset's width
//   block   width of an offset in bits | position of the values | offsets from 0 | values
//
// Blocks of early writers begin with the width in one byte | number of values | position of the values. The bytes 1 to
// 3 tell them apart: zero after a width of 32 or 64 bits, but not after one byte of width where values follow. They are
// only read.
template <class Offset>
struct VariableForm {
  static constexpr size_t width = sizeof(Offset);
  static constexpr uint8_t pad = 0x48;
  bool is_block;

  size_t header_bytes() const { return is_block ? 2 * width : 0; }
  size_t early_header_bytes() const { return 1 + 2 * width; }
  size_t values_position(size_t num_values) const { return header_bytes() + (num_values + 1) * width; }
};

namespace detail {

inline size_t checked_count(int64_t count, size_t available) {
  require(count >= 0 && static_cast<uint64_t>(count) <= available, "the counts do not add up to the values");
  return static_cast<size_t>(count);
}

template <class Offset>
size_t num_values_of(Bytes offsets) {
  require(offsets.size() % sizeof(Offset) == 0 && !offsets.empty(), "offsets must be one more than the values");
  return offsets.size() / sizeof(Offset) - 1;
}

// The offsets of one part: what a decoder needs of it, checked as far as copying its values asks for.
template <class Offset>
struct VariablePart {
  Bytes offsets;  // num_values + 1 of them
  Bytes values;   // from the first offset to the last
  Offset base;    // the first offset as stored

  VariablePart(Bytes part, int64_t count, VariableForm<Offset> form) {
    require(count >= 0, "a count is negative");
    constexpr size_t width = sizeof(Offset);
    const bool is_early = form.is_block && part.size() >= 4 && (part[1] | part[2] | part[3]) != 0;
    const size_t header = is_early ? form.early_header_bytes() : form.header_bytes();
    check_data(part.size() >= header + width && static_cast<uint64_t>(count) <= (part.size() - header) / width - 1,
               "the offsets of variable-width values do not fit in their buffer");
    const auto num_values = static_cast<size_t>(count);
    const size_t position = header + (num_values + 1) * width;
    if (form.is_block) {
      check_data((is_early ? part[0] : item<Offset>(part, 0)) == 8 * width,
                 "a block of variable-width values has another offset width");
      check_data(!is_early || load<Offset>(part.data() + 1) == num_values,
                 "a block of variable-width values has another number of values");
      check_data(load<Offset>(part.data() + header - width) == position,
                 "the values of a variable-width block do not follow its offsets");
    }
    offsets = part.subspan(header, (num_values + 1) * width);
    base = item<Offset>(offsets, 0);
    check_data(base == (form.is_block ? 0 : position), "the first offset of variable-width values is wrong");
    const Offset last = item<Offset>(offsets, num_values);
    check_data(last >= base && last - base <= part.size() - position,
               "variable-width values run past the end of their buffer");
    values = part.subspan(position, static_cast<size_t>(last - base));
  }
};

}  // namespace detail

// counts[i] = values in chunk i: a power of two below max_values that keeps offsets and bytes within target_bytes, or
// all that is left. Returns the number of chunks.
template <class Offset>
size_t variable_cut(Bytes offsets, int64_t target_bytes, int64_t max_values, std::span<int64_t> counts) {
  const size_t num_values = detail::num_values_of<Offset>(offsets);
  require(counts.size() == (num_values + 1) / 2, "variable_cut: half as many counts as values are needed");
  require(target_bytes >= 0 && max_values >= 1, "variable_cut: impossible limits");
  const auto target = static_cast<uint64_t>(target_bytes);
  const auto most = static_cast<size_t>(max_values);
  size_t num_chunks = 0;
  for (size_t start = 0; start < num_values;) {
    const size_t rest = num_values - start;
    const Offset base = item<Offset>(offsets, start);
    const auto fits = [&](size_t count) {
      const Offset stop = item<Offset>(offsets, start + count);
      require(stop >= base, "the offsets decrease");
      return stop - base <= target && (count + 1) * sizeof(Offset) <= target - (stop - base);
    };
    size_t count = std::min<size_t>(2, rest);
    if (rest < most && fits(rest)) {
      count = rest;
    } else {
      while (2 * count < std::min(most, rest) && fits(2 * count)) count *= 2;
    }
    counts[num_chunks++] = static_cast<int64_t>(count);
    start += count;
  }
  return num_chunks;
}

// Writes the parts back to back; returns their bytes together.
template <class Offset>
size_t variable_encode(Bytes data, Bytes offsets, std::span<const int64_t> counts, bool is_block, MutableBytes out,
                       std::span<int64_t> sizes) {
  constexpr size_t width = sizeof(Offset);
  const VariableForm<Offset> form{is_block};
  const size_t num_values = detail::num_values_of<Offset>(offsets);
  const uint64_t first_byte = item<Offset>(offsets, 0);
  const uint64_t last_byte = item<Offset>(offsets, num_values);
  require(first_byte <= last_byte && last_byte <= data.size(), "the offsets lie outside of the data");
  require(sizes.size() == counts.size(), "variable_encode: one size per count is needed");
  require(out.size() >= last_byte - first_byte + (num_values + 4 * counts.size()) * width,
          "variable_encode: the output is too small");
  size_t start = 0;
  size_t written = 0;
  uint64_t expected = first_byte;
  for (size_t i = 0; i < counts.size(); ++i) {
    const size_t count = detail::checked_count(counts[i], num_values - start);
    const Bytes source = offsets.subspan(start * width, (count + 1) * width);
    const Offset base = item<Offset>(source, 0);
    const Offset stop = item<Offset>(source, count);
    const size_t position = form.values_position(count);
    require(base == expected && stop >= base && stop <= last_byte, "the offsets decrease");
    const auto num_bytes = static_cast<size_t>(stop - base);
    require(num_bytes <= std::numeric_limits<Offset>::max() - position, "a part is too large for its offsets");
    uint8_t* to = out.data() + written;
    if (is_block) {
      store<Offset>(to, 8 * width);
      store<Offset>(to + width, static_cast<Offset>(position));
    }
    uint8_t* out_offsets = to + form.header_bytes();
    const auto shift = static_cast<Offset>((is_block ? 0 : position) - base);
    bool sorted = true;
    for (size_t k = 0; k < count; ++k) {
      sorted &= item<Offset>(source, k) <= item<Offset>(source, k + 1);
      store<Offset>(out_offsets + k * width, static_cast<Offset>(item<Offset>(source, k) + shift));
    }
    store<Offset>(out_offsets + count * width, static_cast<Offset>(stop + shift));
    require(sorted, "the offsets decrease");
    std::copy_n(data.data() + base, num_bytes, to + position);
    size_t size = position + num_bytes;
    if (!is_block) {
      const size_t padded = (size + width - 1) / width * width;
      std::fill_n(to + size, padded - size, VariableForm<Offset>::pad);
      size = padded;
    }
    sizes[i] = static_cast<int64_t>(size);
    written += size;
    start += count;
    expected = stop;
  }
  require(start == num_values, "the counts do not add up to the values");
  return written;
}

// Checks every part and writes one run of offsets from 0 over all of them; returns the bytes of all values.
template <class Offset>
int64_t variable_decode_offsets(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                                std::span<const int64_t> counts, bool is_block, MutableBytes out) {
  constexpr size_t width = sizeof(Offset);
  constexpr uint64_t limit = static_cast<uint64_t>(std::numeric_limits<std::make_signed_t<Offset>>::max());
  require(offsets.size() == counts.size() && sizes.size() == counts.size(), "one offset, size and count a part");
  const size_t num_values = detail::num_values_of<Offset>(out);
  uint64_t total = 0;
  size_t start = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const detail::VariablePart<Offset> part(checked_slice(data, offsets[i], sizes[i]), counts[i], {is_block});
    const size_t count = detail::checked_count(counts[i], num_values - start);
    check_data(part.values.size() <= limit - total, "the values together are too long for their offsets");
    const auto shift = static_cast<Offset>(static_cast<Offset>(total) - part.base);
    uint8_t* to = out.data() + start * width;
    bool sorted = true;
    for (size_t k = 0; k < count; ++k) {
      const Offset value = item<Offset>(part.offsets, k);
      sorted &= value <= item<Offset>(part.offsets, k + 1);
      store<Offset>(to + k * width, static_cast<Offset>(value + shift));
    }
    check_data(sorted, "the offsets of variable-width values decrease");
    total += part.values.size();
    start += count;
  }
  require(start == num_values, "the counts do not add up to the values");
  store<Offset>(out.data() + num_values * width, static_cast<Offset>(total));
  return static_cast<int64_t>(total);
}

// Copies the values of all parts back to back.
template <class Offset>
void variable_decode(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                     std::span<const int64_t> counts, bool is_block, MutableBytes out) {
  require(offsets.size() == counts.size() && sizes.size() == counts.size(), "one offset, size and count a part");
  size_t written = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const detail::VariablePart<Offset> part(checked_slice(data, offsets[i], sizes[i]), counts[i], {is_block});
    require(part.values.size() <= out.size() - written, "variable_decode: the output has another size than the values");
    std::copy_n(part.values.data(), part.values.size(), out.data() + written);
    written += part.values.size();
  }
  require(written == out.size(), "variable_decode: the output has another size than the values");
}

// The same offsets, counted from 0.
template <class Offset>
void variable_rebase(Bytes offsets, MutableBytes out) {
  const size_t num_values = detail::num_values_of<Offset>(offsets);
  require(out.size() == offsets.size(), "variable_rebase: as many offsets out as in");
  const Offset base = item<Offset>(offsets, 0);
  for (size_t i = 0; i <= num_values; ++i)
    store<Offset>(out.data() + i * sizeof(Offset), static_cast<Offset>(item<Offset>(offsets, i) - base));
}

}  // namespace lancelet
