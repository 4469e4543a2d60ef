// Checked views and the one error a kernel may report. Nothing here knows Python.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>

namespace lancelet {

static_assert(std::endian::native == std::endian::little, "the format is little endian and so are these kernels");

using std::int64_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

// The bytes of a file contradict the format. Becomes lancelet.errors.FormatError.
class CorruptData : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The caller broke the kernel's contract (buffer too small, unknown width). Becomes ValueError: a bug, not bad data.
class BadArgument : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

inline void require(bool condition, const char* message) {
  if (!condition) [[unlikely]]
    throw BadArgument(message);
}

inline void check_data(bool condition, const char* message) {
  if (!condition) [[unlikely]]
    throw CorruptData(message);
}

// Unaligned little-endian load and store.
template <class T>
inline T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <class T>
inline void store(uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

inline size_t bitmap_bytes(size_t num_bits) { return num_bits / 8 + (num_bits % 8 != 0 ? 1 : 0); }

// A part of `data`; corrupt when it does not lie inside.
inline Bytes checked_slice(Bytes data, int64_t offset, int64_t size) {
  check_data(offset >= 0 && size >= 0 && static_cast<uint64_t>(offset) <= data.size() &&
                 static_cast<uint64_t>(size) <= data.size() - static_cast<uint64_t>(offset),
             "a buffer part lies outside of its buffer");
  return data.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
}

}  // namespace lancelet
