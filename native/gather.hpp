// Dictionary indices to values (compressors.md 5.6). A null slot becomes zero bytes or an empty value, whatever its
// index says.
#pragma once

#include <algorithm>
#include <array>

#include "offsets.hpp"
#include "span.hpp"

namespace lancelet {

// Which slots are valid: a bitmap, or nothing when all are.
class Validity {
 public:
  Validity(Bytes bitmap, size_t num_slots) : bitmap_(bitmap) {
    require(bitmap.empty() || bitmap.size() >= (num_slots + 7) / 8, "gather: validity needs one bit a slot");
  }

  bool all() const { return bitmap_.empty(); }
  bool operator[](size_t i) const { return bitmap_.empty() || (bitmap_[i / 8] >> (i % 8) & 1) != 0; }

 private:
  Bytes bitmap_;
};

template <class Index>
class Indices {
 public:
  explicit Indices(Bytes raw) : raw_(raw) {
    require(raw.size() % sizeof(Index) == 0, "gather: the indices are not whole integers");
  }

  size_t size() const { return raw_.size() / sizeof(Index); }
  uint64_t operator[](size_t i) const { return load<Index>(raw_.data() + i * sizeof(Index)); }

  // One pass that vectorises when all slots are valid.
  void check(size_t num_items, Validity validity) const {
    bool outside = false;
    if (validity.all()) {
      for (size_t i = 0; i < size(); ++i) outside |= (*this)[i] >= num_items;
    } else {
      for (size_t i = 0; i < size(); ++i) outside |= validity[i] && (*this)[i] >= num_items;
    }
    check_data(!outside, "an index lies outside of its dictionary");
  }

 private:
  Bytes raw_;
};

// Calls `function` with a zero of the unsigned type of `index_bits` bits.
template <class Function>
auto with_indices(int index_bits, Function function) {
  switch (index_bits) {
    case 8: return function(uint8_t{});
    case 16: return function(uint16_t{});
    case 32: return function(uint32_t{});
    case 64: return function(uint64_t{});
    default: throw BadArgument("index_bits must be 8, 16, 32 or 64");
  }
}

// `Copy(to, from)` moves one value; a template, so that common widths become single moves.
template <class Index, class Copy>
void gather_values(Bytes data, size_t value_bytes, Indices<Index> indices, Validity validity, MutableBytes out,
                   Copy copy) {
  if (validity.all()) {
    for (size_t i = 0; i < indices.size(); ++i)
      copy(out.data() + i * value_bytes, data.data() + indices[i] * value_bytes);
    return;
  }
  for (size_t i = 0; i < indices.size(); ++i) {
    if (validity[i]) {
      copy(out.data() + i * value_bytes, data.data() + indices[i] * value_bytes);
    } else {
      std::memset(out.data() + i * value_bytes, 0, value_bytes);
    }
  }
}

template <size_t value_bytes>
struct CopyFixed {
  void operator()(uint8_t* to, const uint8_t* from) const { std::memcpy(to, from, value_bytes); }
};

template <class Index>
void gather_fixed(Bytes data, int64_t value_bytes, Bytes raw_indices, Bytes raw_validity, MutableBytes out) {
  require(value_bytes > 0, "gather_fixed: a value has at least one byte");
  const auto width = static_cast<size_t>(value_bytes);
  require(data.size() % width == 0, "gather_fixed: the data is not a whole number of values");
  const Indices<Index> indices(raw_indices);
  const Validity validity(raw_validity, indices.size());
  require(out.size() % width == 0 && out.size() / width == indices.size(),
          "gather_fixed: out needs one value an index");
  indices.check(data.size() / width, validity);
  switch (width) {
    case 1: return gather_values(data, width, indices, validity, out, CopyFixed<1>{});
    case 2: return gather_values(data, width, indices, validity, out, CopyFixed<2>{});
    case 4: return gather_values(data, width, indices, validity, out, CopyFixed<4>{});
    case 8: return gather_values(data, width, indices, validity, out, CopyFixed<8>{});
    case 16: return gather_values(data, width, indices, validity, out, CopyFixed<16>{});
    default:
      return gather_values(data, width, indices, validity, out,
                           [width](uint8_t* to, const uint8_t* from) { std::memcpy(to, from, width); });
  }
}

template <class Offset, class Index>
int64_t gather_variable_offsets(Bytes raw_offsets, Bytes raw_indices, Bytes raw_validity,
                                MutableBytes raw_out_offsets) {
  const Offsets<Offset> offsets(raw_offsets);
  const Indices<Index> indices(raw_indices);
  const Validity validity(raw_validity, indices.size());
  const OffsetsOut<Offset> out_offsets(raw_out_offsets, indices.size());
  offsets.check(max_total<uint64_t>);
  indices.check(offsets.num_values(), validity);
  uint64_t total = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    out_offsets.set(i, total);
    const size_t index = validity[i] ? indices[i] : 0;
    const uint64_t length = validity[i] ? offsets[index + 1] - offsets[index] : 0;
    // Both terms are at most 2^63 - 1: the sum does not wrap.
    total += length;
    check_data(total <= max_total<Offset>, "the values of a dictionary are too long for their offsets");
  }
  out_offsets.set(indices.size(), total);
  return static_cast<int64_t>(total);
}

template <class Offset, class Index>
void gather_variable(Bytes data, Bytes raw_offsets, Bytes raw_indices, Bytes raw_validity, Bytes raw_out_offsets,
                     MutableBytes out) {
  constexpr size_t step = 16;
  const Offsets<Offset> offsets(raw_offsets);
  const Indices<Index> indices(raw_indices);
  const Validity validity(raw_validity, indices.size());
  const Offsets<Offset> out_offsets(raw_out_offsets);
  require(out_offsets.num_values() == indices.size(), "gather_variable: out_offsets need n + 1 integers");
  offsets.check(data.size());
  indices.check(offsets.num_values(), validity);

  // Short values are moved as `step` bytes; those at the end of the data are read from a copy with room behind it.
  const size_t tail_start = data.size() - std::min(data.size(), step);
  std::array<uint8_t, 2 * step> tail{};
  std::copy(data.begin() + static_cast<std::ptrdiff_t>(tail_start), data.end(), tail.begin());

  size_t at = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    const uint64_t start = validity[i] ? offsets[indices[i]] : 0;
    const uint64_t length = validity[i] ? offsets[indices[i] + 1] - start : 0;
    require(out_offsets[i] == at && length <= out.size() - at,
            "gather_variable: out and out_offsets do not fit the values");
    uint8_t* const to = out.data() + at;
    if (length <= step && out.size() - at >= step) {
      std::memcpy(to, start < tail_start ? data.data() + start : tail.data() + (start - tail_start), step);
    } else if (length > 0) {
      std::memcpy(to, data.data() + start, length);
    }
    at += length;
  }
  require(out_offsets.last() == at && at == out.size(), "gather_variable: out and out_offsets do not fit the values");
}

}  // namespace lancelet
