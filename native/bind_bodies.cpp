// Bindings of bodies.hpp: argument checks and the release of the GIL, nothing else.
#include "bindings.hpp"
#include "bodies.hpp"
#include "buffers.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {

void bind_bodies(nb::module_& module) {
  module.def(
      "pad_parts",
      [](In<uint8_t> data, In<int64_t> starts, In<int64_t> sizes, int64_t alignment, int64_t fill, Out<uint8_t> out) {
        pad_parts(data.span, starts.span, sizes.span, alignment, fill, out.span);
      },
      "data"_a, "starts"_a, "sizes"_a, "alignment"_a, "fill"_a, "out"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace lancelet
