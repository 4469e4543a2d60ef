// Offsets of variable-width values: n + 1 unsigned integers of 32 or 64 bits, at any alignment.
#pragma once

#include <limits>

#include "span.hpp"

namespace lancelet {

// A signed offset of Arrow must hold every total.
template <class Offset>
inline constexpr uint64_t max_total = static_cast<uint64_t>(std::numeric_limits<std::make_signed_t<Offset>>::max());

template <class Offset>
class Offsets {
 public:
  explicit Offsets(Bytes raw) : raw_(raw) {
    require(raw.size() >= sizeof(Offset) && raw.size() % sizeof(Offset) == 0,
            "offsets: n + 1 whole integers are needed");
  }

  size_t num_values() const { return raw_.size() / sizeof(Offset) - 1; }
  uint64_t operator[](size_t i) const { return load<Offset>(raw_.data() + i * sizeof(Offset)); }
  uint64_t first() const { return (*this)[0]; }
  uint64_t last() const { return (*this)[num_values()]; }

  // One pass that vectorises; afterwards every value lies inside of `data_bytes`.
  void check(uint64_t data_bytes) const {
    bool descends = false;
    for (size_t i = 0; i < num_values(); ++i) descends |= (*this)[i] > (*this)[i + 1];
    check_data(!descends, "the offsets of values decrease");
    check_data(last() <= data_bytes, "the offsets of values reach past the data");
  }

 private:
  Bytes raw_;
};

// Output offsets of `num_values` values.
template <class Offset>
class OffsetsOut {
 public:
  OffsetsOut(MutableBytes raw, size_t num_values) : raw_(raw) {
    require(raw.size() == (num_values + 1) * sizeof(Offset), "out_offsets: n + 1 integers are needed");
  }

  void set(size_t i, uint64_t value) const { store(raw_.data() + i * sizeof(Offset), static_cast<Offset>(value)); }

 private:
  MutableBytes raw_;
};

// The `size` <= 8 bytes at `from` as a zero-filled word, without touching others and without a loop.
inline uint64_t load_up_to_8(const uint8_t* from, size_t size) {
  if (size == 8) return load<uint64_t>(from);
  if (size >= 4) return load<uint32_t>(from) | uint64_t{load<uint32_t>(from + size - 4)} << (8 * (size - 4));
  if (size == 0) return 0;
  const size_t middle = size / 2, last = size - 1;
  return from[0] | uint64_t{from[middle]} << (8 * middle) | uint64_t{from[last]} << (8 * last);
}

// Calls `function` with a zero of the unsigned type of `offset_bits` bits.
template <class Function>
auto with_offsets(int offset_bits, Function function) {
  switch (offset_bits) {
    case 32: return function(uint32_t{});
    case 64: return function(uint64_t{});
    default: throw BadArgument("offset_bits must be 32 or 64");
  }
}

}  // namespace lancelet
