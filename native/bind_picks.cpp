// Bindings of picks.hpp: the choice of a type by its width, and the release of the GIL.
#include "bindings.hpp"
#include "buffers.hpp"
#include "picks.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

using Numbers = In<int64_t>;
using FreeGil = nb::call_guard<nb::gil_scoped_release>;

void bind_blocks(nb::module_& module) {
  module.def(
      "pick_fixed",
      [](In<uint8_t> data, int64_t bits, Numbers starts, Numbers stops, Out<uint8_t> out) {
        pick_fixed(data.span, bits, starts.span, stops.span, out.span);
      },
      "data"_a, "bits"_a, "starts"_a, "stops"_a, "out"_a, FreeGil());
  module.def(
      "pick_variable_offsets",
      [](In<uint8_t> offsets, int offset_bits, Numbers starts, Numbers stops, Out<uint8_t> out_offsets) {
        return with_offsets(offset_bits, [&](auto zero) {
          return pick_variable_offsets<decltype(zero)>(offsets.span, starts.span, stops.span, out_offsets.span);
        });
      },
      "offsets"_a, "offset_bits"_a, "starts"_a, "stops"_a, "out_offsets"_a, FreeGil());
  module.def(
      "pick_variable",
      [](In<uint8_t> data, In<uint8_t> offsets, int offset_bits, Numbers starts, Numbers stops, Out<uint8_t> out) {
        with_offsets(offset_bits, [&](auto zero) {
          pick_variable<decltype(zero)>(data.span, offsets.span, starts.span, stops.span, out.span);
        });
      },
      "data"_a, "offsets"_a, "offset_bits"_a, "starts"_a, "stops"_a, "out"_a, FreeGil());
}

void bind_fixed_chunks(nb::module_& module) {
  module.def(
      "flat_pick",
      [](In<uint8_t> data, Numbers offsets, Numbers sizes, Numbers counts, int64_t bits, Numbers starts, Numbers stops,
         Out<uint8_t> out) {
        flat_pick(data.span, offsets.span, sizes.span, counts.span, bits, starts.span, stops.span, out.span);
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "bits"_a, "starts"_a, "stops"_a, "out"_a, FreeGil());
  module.def(
      "inline_pick",
      [](In<uint8_t> data, Numbers offsets, Numbers sizes, Numbers counts, int bits, Numbers starts, Numbers stops,
         Out<uint8_t> out) {
        with_word(bits, [&](auto zero) {
          inline_pick<decltype(zero)>(data.span, offsets.span, sizes.span, counts.span, starts.span, stops.span,
                                      out.span);
        });
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "bits"_a, "starts"_a, "stops"_a, "out"_a, FreeGil());
  module.def(
      "bss_pick",
      [](In<uint8_t> data, Numbers offsets, Numbers sizes, Numbers counts, int bits, Numbers starts, Numbers stops,
         Out<uint8_t> out) {
        require(bits == 32 || bits == 64, "bits must be 32 or 64");
        with_word(bits, [&](auto zero) {
          bss_pick<decltype(zero)>(data.span, offsets.span, sizes.span, counts.span, starts.span, stops.span, out.span);
        });
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "bits"_a, "starts"_a, "stops"_a, "out"_a, FreeGil());
}

void bind_variable_chunks(nb::module_& module) {
  module.def(
      "variable_pick_offsets",
      [](In<uint8_t> data, Numbers offsets, Numbers sizes, Numbers counts, int offset_bits, Numbers starts,
         Numbers stops, Out<uint8_t> out_offsets) {
        return with_offsets(offset_bits, [&](auto zero) {
          return variable_pick_offsets<decltype(zero)>(data.span, offsets.span, sizes.span, counts.span, starts.span,
                                                       stops.span, out_offsets.span);
        });
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "offset_bits"_a, "starts"_a, "stops"_a, "out_offsets"_a, FreeGil());
  module.def(
      "variable_pick",
      [](In<uint8_t> data, Numbers offsets, Numbers sizes, Numbers counts, int offset_bits, Numbers starts,
         Numbers stops, Out<uint8_t> out) {
        with_offsets(offset_bits, [&](auto zero) {
          variable_pick<decltype(zero)>(data.span, offsets.span, sizes.span, counts.span, starts.span, stops.span,
                                        out.span);
        });
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "offset_bits"_a, "starts"_a, "stops"_a, "out"_a, FreeGil());
}

}  // namespace

void bind_picks(nb::module_& module) {
  bind_blocks(module);
  bind_fixed_chunks(module);
  bind_variable_chunks(module);
  module.def(
      "select_rows",
      [](In<uint16_t> rep, In<uint16_t> def, int64_t max_rep, int64_t max_visible, Numbers starts, Numbers stops,
         Out<int64_t> out) {
        select_rows(rep.span, def.span, max_rep, max_visible, starts.span, stops.span, out.span);
      },
      "rep"_a, "def_"_a, "max_rep"_a, "max_visible"_a, "starts"_a, "stops"_a, "out"_a, FreeGil());
}

}  // namespace lancelet
