// Bindings of bitpack.hpp: the release of the GIL, nothing else.
#include "bindings.hpp"
#include "bitpack.hpp"
#include "buffers.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {

void bind_bitpack(nb::module_& module) {
  const auto free_gil = nb::call_guard<nb::gil_scoped_release>();

  module.def(
      "bit_widths", [](In<uint8_t> data, unsigned bits, Out<uint8_t> out) { bit_widths(data.span, bits, out.span); },
      "data"_a, "bits"_a, "out"_a, free_gil);
  module.def(
      "block_widths",
      [](In<uint8_t> data, In<int64_t> counts, unsigned bits, Out<uint8_t> out) {
        block_widths(data.span, counts.span, bits, out.span);
      },
      "data"_a, "counts"_a, "bits"_a, "out"_a, free_gil);
  module.def(
      "inline_pack",
      [](In<uint8_t> data, In<int64_t> counts, unsigned bits, In<uint8_t> widths, Out<uint8_t> out) {
        return inline_pack(data.span, counts.span, bits, widths.span, out.span);
      },
      "data"_a, "counts"_a, "bits"_a, "widths"_a, "out"_a, free_gil);
  module.def(
      "inline_unpack",
      [](In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> counts, unsigned bits,
         Out<uint8_t> out) { inline_unpack(data.span, offsets.span, sizes.span, counts.span, bits, out.span); },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "bits"_a, "out"_a, free_gil);
  module.def(
      "out_of_line_pack",
      [](In<uint8_t> data, In<int64_t> counts, unsigned bits, unsigned width, Out<uint8_t> out,
         Out<int64_t> out_sizes) {
        return out_of_line_pack(data.span, counts.span, bits, width, out.span, out_sizes.span);
      },
      "data"_a, "counts"_a, "bits"_a, "width"_a, "out"_a, "out_sizes"_a, free_gil);
  module.def(
      "out_of_line_unpack",
      [](In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> counts, unsigned bits, unsigned width,
         Out<uint8_t> out) {
        out_of_line_unpack(data.span, offsets.span, sizes.span, counts.span, bits, width, out.span);
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "bits"_a, "width"_a, "out"_a, free_gil);
}

}  // namespace lancelet
