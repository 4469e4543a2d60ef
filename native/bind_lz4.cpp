// Bindings of lz4_block.hpp: argument checks and the release of the GIL, nothing else.
#include "bindings.hpp"
#include "buffers.hpp"
#include "lz4_block.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

void lz4_decode_any(In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, Out<uint8_t> out,
                    In<int64_t> out_offsets) {
  lz4_decode(data.span, offsets.span, sizes.span, out.span, out_offsets.span);
}

}  // namespace

void bind_lz4(nb::module_& module) {
  module.def("lz4_decode", &lz4_decode_any, "data"_a, "offsets"_a, "sizes"_a, "out"_a, "out_offsets"_a,
             nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace lancelet
