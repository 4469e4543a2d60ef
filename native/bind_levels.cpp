// Bindings of levels.hpp: argument checks and the release of the GIL, nothing else.
#include <nanobind/stl/tuple.h>

#include "bindings.hpp"
#include "buffers.hpp"
#include "layers.hpp"
#include "levels.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

using InBytes = In<uint8_t>;
using InLevels = In<uint16_t>;
using OutLevels = Out<uint16_t>;
using Release = nb::call_guard<nb::gil_scoped_release>;

void bind_counts(nb::module_& module) {
  module.def(
      "count_nulls",
      [](InBytes validity, int64_t bit_offset, int64_t num_values) {
        return count_nulls(validity.span, bit_offset, num_values);
      },
      "validity"_a, "bit_offset"_a, "num_values"_a, Release());
  module.def(
      "count_rows", [](InLevels rep, int64_t max_rep) { return count_rows(rep.span, max_rep); }, "rep"_a, "max_rep"_a,
      Release());
  module.def(
      "count_visible", [](InLevels def, int64_t max_visible) { return count_visible(def.span, max_visible); }, "def_"_a,
      "max_visible"_a, Release());
  module.def(
      "row_starts", [](InLevels rep, int64_t max_rep, Out<int64_t> out) { row_starts(rep.span, max_rep, out.span); },
      "rep"_a, "max_rep"_a, "out"_a, Release());
}

void bind_build(nb::module_& module) {
  module.def(
      "levels_from_validity",
      [](InBytes validity, int64_t bit_offset, int64_t num_values, int64_t level, OutLevels out) {
        levels_from_validity(validity.span, bit_offset, num_values, level, out.span);
      },
      "validity"_a, "bit_offset"_a, "num_values"_a, "level"_a, "out"_a, Release());
  module.def(
      "mark_nulls",
      [](OutLevels def, int64_t max_open, InBytes validity, int64_t bit_offset, int64_t num_values, int64_t level) {
        mark_nulls(def.span, max_open, validity.span, bit_offset, num_values, level);
      },
      "def_"_a, "max_open"_a, "validity"_a, "bit_offset"_a, "num_values"_a, "level"_a, Release());
  module.def(
      "scan_lists",
      [](In<int64_t> offsets, InBytes validity, int64_t bit_offset) {
        return scan_lists(offsets.span, validity.span, bit_offset);
      },
      "offsets"_a, "validity"_a, "bit_offset"_a, Release());
  module.def(
      "open_lists",
      [](InLevels rep, InLevels def, int64_t max_open, In<int64_t> offsets, InBytes validity, int64_t bit_offset,
         int64_t rep_level, int64_t null_level, int64_t empty_level, OutLevels rep_out, OutLevels def_out) {
        open_lists(rep.span, def.span, max_open, offsets.span, validity.span, bit_offset, rep_level, null_level,
                   empty_level, rep_out.span, def_out.span);
      },
      "rep"_a, "def_"_a, "max_open"_a, "offsets"_a, "validity"_a, "bit_offset"_a, "rep_level"_a, "null_level"_a,
      "empty_level"_a, "rep_out"_a, "def_out"_a, Release());
  module.def(
      "repeat_fixed",
      [](InLevels rep, InLevels def, int64_t max_open, int64_t dimension, OutLevels rep_out, OutLevels def_out) {
        repeat_fixed(rep.span, def.span, max_open, dimension, rep_out.span, def_out.span);
      },
      "rep"_a, "def_"_a, "max_open"_a, "dimension"_a, "rep_out"_a, "def_out"_a, Release());
}

void bind_unravel(nb::module_& module) {
  module.def(
      "check_levels",
      [](InLevels rep, InLevels def, int64_t max_rep, int64_t max_def, int64_t num_rows) {
        check_levels(rep.span, def.span, max_rep, max_def, num_rows);
      },
      "rep"_a, "def_"_a, "max_rep"_a, "max_def"_a, "num_rows"_a, Release());
  module.def(
      "validity_from_levels",
      [](InLevels def, int64_t max_valid, Out<uint8_t> out) {
        return validity_from_levels(def.span, max_valid, out.span);
      },
      "def_"_a, "max_valid"_a, "out"_a, Release());
  module.def(
      "unravel_validity",
      [](InLevels def, int64_t max_visible, int64_t max_valid, int64_t num_values, Out<uint8_t> out) {
        return unravel_validity(def.span, max_visible, max_valid, num_values, out.span);
      },
      "def_"_a, "max_visible"_a, "max_valid"_a, "num_values"_a, "out"_a, Release());
  module.def(
      "count_lists",
      [](InLevels rep, InLevels def, int64_t max_visible) { return count_lists(rep.span, def.span, max_visible); },
      "rep"_a, "def_"_a, "max_visible"_a, Release());
  module.def(
      "unravel_lists",
      [](InLevels rep, InLevels def, int64_t max_visible, int64_t max_child, int64_t empty_level, int offset_bits,
         OutLevels rep_out, OutLevels def_out, Out<uint8_t> offsets_out, Out<uint8_t> validity_out) {
        return with_offsets(offset_bits, [&](auto zero) {
          return unravel_lists<decltype(zero)>(rep.span, def.span, max_visible, max_child, empty_level, rep_out.span,
                                               def_out.span, offsets_out.span, validity_out.span);
        });
      },
      "rep"_a, "def_"_a, "max_visible"_a, "max_child"_a, "empty_level"_a, "offset_bits"_a, "rep_out"_a, "def_out"_a,
      "offsets_out"_a, "validity_out"_a, Release());
  module.def(
      "unravel_fixed",
      [](InLevels rep, InLevels def, int64_t max_visible, int64_t max_valid, int64_t dimension, OutLevels rep_out,
         OutLevels def_out) {
        unravel_fixed(rep.span, def.span, max_visible, max_valid, dimension, rep_out.span, def_out.span);
      },
      "rep"_a, "def_"_a, "max_visible"_a, "max_valid"_a, "dimension"_a, "rep_out"_a, "def_out"_a, Release());
  module.def(
      "unravel_layers",
      [](InLevels rep, InLevels def, InBytes layers, int64_t num_rows, int64_t num_slots, Out<uint8_t> out,
         Out<int64_t> counts) {
        return unravel_layers(rep.span, def.span, layers.span, num_rows, num_slots, out.span, counts.span);
      },
      "rep"_a, "def_"_a, "layers"_a, "num_rows"_a, "num_slots"_a, "out"_a, "counts"_a, Release());
}

}  // namespace

void bind_levels(nb::module_& module) {
  bind_counts(module);
  bind_build(module);
  bind_unravel(module);
}

}  // namespace lancelet
