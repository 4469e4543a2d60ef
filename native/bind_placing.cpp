// Bindings of placing.hpp: argument checks and the release of the GIL, nothing else.
#include <nanobind/stl/tuple.h>

#include "bindings.hpp"
#include "buffer_lists.hpp"
#include "buffers.hpp"
#include "placing.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {

void bind_placing(nb::module_& module) {
  module.def(
      "join_page",
      [](InList buffers, uint64_t position, uint64_t alignment, In<uint8_t> tail, Out<uint8_t> out,
         Out<uint8_t> out_record) {
        return join_page(buffers.spans, position, alignment, tail.span, out.span, out_record.span);
      },
      "buffers"_a, "position"_a, "alignment"_a, "tail"_a, "out"_a, "out_record"_a,
      nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace lancelet
