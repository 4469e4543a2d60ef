// Binding of ranges.hpp: argument checks, nothing else.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "buffers.hpp"
#include "ranges.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

std::vector<Range> near_ranges(In<int64_t> ranges, int64_t gap) {
  constexpr int64_t largest = int64_t{1} << 62;
  require(ranges.span.size() % 2 == 0 && gap >= 0 && gap < largest, "ranges: two numbers a range, and a gap");
  std::vector<Range> found;
  found.reserve(ranges.span.size() / 2);
  for (size_t i = 0; i < ranges.span.size(); i += 2) {
    const int64_t position = ranges.span[i], size = ranges.span[i + 1];
    require(position >= 0 && size >= 0 && size < largest && position < largest - size,
            "ranges: no such place in a file");
    found.emplace_back(position, size);
  }
  merge_near(found, gap);
  return found;
}

size_t read_places(int descriptor, const std::vector<Range>& ranges, bool wait, Out<uint8_t> out) {
  uint64_t needed = 0;
  for (const auto& [position, size] : ranges) {
    require(position >= 0 && size >= 0, "ranges: no such place in a file");
    needed += static_cast<uint64_t>(size);
    require(needed <= out.span.size(), "ranges: the output has another size");
  }
  require(needed == out.span.size(), "ranges: the output has another size");
  size_t found = 0;
  int error = 0;
  {
    const nb::gil_scoped_release release;
    found = read_ranges(descriptor, ranges, wait, out.span, error);
  }
  if (error != 0 && wait) {
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    throw nb::python_error();
  }
  return found;
}

}  // namespace

void bind_ranges(nb::module_& module) {
  module.def("near_ranges", &near_ranges, "ranges"_a, "gap"_a);
  module.def("read_ranges", &read_places, "descriptor"_a, "ranges"_a, "wait"_a, "out"_a);
}

}  // namespace lancelet
