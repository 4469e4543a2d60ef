// Arguments of the bindings: any C-contiguous object of Python's buffer protocol as a span, without copies and without
// numpy.
//
//   In<uint8_t>   bytes-like, any item type, read as raw bytes       Out<uint8_t>   the same, writable
//   In<int64_t>   items of exactly that size, aligned                Out<int64_t>   the same, writable
//
// The buffer is held until the call returns, so the span stays valid while the GIL is released.
#pragma once

#include <nanobind/nanobind.h>

#include <type_traits>

#include "span.hpp"

namespace lancelet {

template <class T>
struct In {
  std::span<const T> span;
};

template <class T>
struct Out {
  std::span<T> span;
};

}  // namespace lancelet

namespace nanobind::detail {

template <class Argument, class T, int Flags>
struct buffer_caster {
  using Value = Argument;
  template <typename>
  using Cast = Argument;
  static constexpr auto Name = const_name("collections.abc.Buffer");

  buffer_caster() = default;
  buffer_caster(const buffer_caster&) = delete;
  buffer_caster& operator=(const buffer_caster&) = delete;
  ~buffer_caster() {
    if (held_) PyBuffer_Release(&view_);
  }

  bool from_python(handle source, uint8_t, cleanup_list*) noexcept {
    if (PyObject_GetBuffer(source.ptr(), &view_, Flags) != 0) {
      PyErr_Clear();
      return false;
    }
    held_ = true;
    if constexpr (sizeof(T) == 1) return true;
    return view_.itemsize == static_cast<Py_ssize_t>(sizeof(T)) &&
           reinterpret_cast<std::uintptr_t>(view_.buf) % alignof(T) == 0;
  }

  template <typename>
  static constexpr bool can_cast() {
    return true;
  }

  operator Argument() { return Argument{{static_cast<T*>(view_.buf), static_cast<size_t>(view_.len) / sizeof(T)}}; }

 private:
  Py_buffer view_{};
  bool held_ = false;
};

template <class T>
struct type_caster<lancelet::In<T>> : buffer_caster<lancelet::In<T>, const T, PyBUF_C_CONTIGUOUS> {};

template <class T>
struct type_caster<lancelet::Out<T>> : buffer_caster<lancelet::Out<T>, T, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE> {};

}  // namespace nanobind::detail
