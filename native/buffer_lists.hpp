// Arguments of the bindings that are several buffers: any sequence of C-contiguous bytes-like objects, without copies.
//
//   InList    read as raw bytes          OutList   writable
//
// All buffers are held until the call returns.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "span.hpp"

namespace lancelet {

template <class View>
struct BufferList {
  std::span<const View> spans;
};

using InList = BufferList<Bytes>;
using OutList = BufferList<MutableBytes>;

}  // namespace lancelet

namespace nanobind::detail {

template <class View>
struct type_caster<lancelet::BufferList<View>> {
  using Value = lancelet::BufferList<View>;
  template <typename>
  using Cast = Value;
  static constexpr auto Name = const_name("collections.abc.Sequence[collections.abc.Buffer]");
  static constexpr bool is_writable = !std::is_const_v<typename View::element_type>;
  static constexpr int flags = PyBUF_C_CONTIGUOUS | (is_writable ? PyBUF_WRITABLE : 0);

  type_caster() = default;
  type_caster(const type_caster&) = delete;
  type_caster& operator=(const type_caster&) = delete;
  ~type_caster() {
    for (size_t i = 0; i < spans_.size(); ++i) PyBuffer_Release(&views_[i]);
  }

  bool from_python(handle source, uint8_t, cleanup_list*) noexcept {
    const Py_ssize_t size = PySequence_Check(source.ptr()) ? PySequence_Size(source.ptr()) : -1;
    if (size < 0) {
      PyErr_Clear();
      return false;
    }
    try {
      // A view may point into itself, so it must not move.
      views_ = std::make_unique<Py_buffer[]>(static_cast<size_t>(size));
      spans_.reserve(static_cast<size_t>(size));
    } catch (const std::bad_alloc&) {
      return false;
    }
    for (Py_ssize_t i = 0; i < size; ++i) {
      Py_buffer& view = views_[static_cast<size_t>(i)];
      PyObject* item = PySequence_GetItem(source.ptr(), i);
      const bool held = item != nullptr && PyObject_GetBuffer(item, &view, flags) == 0;
      Py_XDECREF(item);
      if (!held) {
        PyErr_Clear();
        return false;
      }
      spans_.emplace_back(static_cast<typename View::pointer>(view.buf), static_cast<size_t>(view.len));
    }
    return true;
  }

  template <typename>
  static constexpr bool can_cast() {
    return true;
  }

  operator Value() { return Value{spans_}; }

 private:
  std::unique_ptr<Py_buffer[]> views_;
  std::vector<View> spans_;
};

}  // namespace nanobind::detail
