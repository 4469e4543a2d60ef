// Bindings of packed.hpp: nothing but the release of the GIL.
#include "bindings.hpp"
#include "buffer_lists.hpp"
#include "buffers.hpp"
#include "packed.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

using Release = nb::call_guard<nb::gil_scoped_release>;

void bind_packed_rows(nb::module_& module) {
  module.def(
      "packed_interleave",
      [](InList values, In<int64_t> widths, int64_t num_rows, Out<uint8_t> out) {
        packed_interleave(values.spans, widths.span, num_rows, out.span);
      },
      "values"_a, "widths"_a, "num_rows"_a, "out"_a, Release());
  module.def(
      "packed_split",
      [](In<uint8_t> data, In<int64_t> widths, int64_t num_rows, OutList out_values) {
        packed_split(data.span, widths.span, num_rows, out_values.spans);
      },
      "data"_a, "widths"_a, "num_rows"_a, "out_values"_a, Release());
}

void bind_packed_values(nb::module_& module) {
  module.def(
      "packed_encode_offsets",
      [](InList offsets, In<int64_t> widths, int64_t num_rows, Out<int64_t> out_offsets) {
        packed_encode_offsets(offsets.spans, widths.span, num_rows, out_offsets.span);
      },
      "offsets"_a, "widths"_a, "num_rows"_a, "out_offsets"_a, Release());
  module.def(
      "packed_encode",
      [](InList values, InList offsets, In<int64_t> widths, int64_t num_rows, Out<uint8_t> out) {
        packed_encode(values.spans, offsets.spans, widths.span, num_rows, out.span);
      },
      "values"_a, "offsets"_a, "widths"_a, "num_rows"_a, "out"_a, Release());
  module.def(
      "packed_decode_offsets",
      [](In<uint8_t> data, In<uint8_t> offsets, int offset_bits, In<int64_t> widths, int64_t num_rows,
         OutList out_offsets) {
        packed_decode_offsets(data.span, offsets.span, offset_bits, widths.span, num_rows, out_offsets.spans);
      },
      "data"_a, "offsets"_a, "offset_bits"_a, "widths"_a, "num_rows"_a, "out_offsets"_a, Release());
  module.def(
      "packed_decode",
      [](In<uint8_t> data, In<uint8_t> offsets, int offset_bits, In<int64_t> widths, int64_t num_rows,
         OutList out_values) {
        packed_decode(data.span, offsets.span, offset_bits, widths.span, num_rows, out_values.spans);
      },
      "data"_a, "offsets"_a, "offset_bits"_a, "widths"_a, "num_rows"_a, "out_values"_a, Release());
}

}  // namespace

void bind_packed(nb::module_& module) {
  bind_packed_rows(module);
  bind_packed_values(module);
}

}  // namespace lancelet
