// Bindings of fullzip.hpp: argument checks and the release of the GIL, nothing else.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include "bindings.hpp"
#include "buffer_lists.hpp"
#include "buffers.hpp"
#include "fullzip.hpp"
#include "fullzip_fsst.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

using Release = nb::call_guard<nb::gil_scoped_release>;

void bind_zip(nb::module_& module) {
  module.def(
      "zip_variable_size",
      [](In<uint16_t> def, int64_t max_visible, In<uint8_t> offsets, int64_t length_bytes, int64_t word_bytes,
         int64_t num_entries) {
        return zip_variable_size(def.span, max_visible, offsets.span, length_bytes, word_bytes, num_entries);
      },
      "def_"_a, "max_visible"_a, "offsets"_a, "length_bytes"_a, "word_bytes"_a, "num_entries"_a, Release());
  module.def(
      "zip_fixed",
      [](In<uint16_t> rep, In<uint16_t> def, int64_t bits_rep, int64_t bits_def, int64_t max_rep, int64_t max_visible,
         In<uint8_t> values, int64_t value_bytes, Out<uint8_t> out, Out<int64_t> row_starts) {
        zip_fixed(rep.span, def.span, bits_rep, bits_def, max_rep, max_visible, values.span, value_bytes, out.span,
                  row_starts.span);
      },
      "rep"_a, "def_"_a, "bits_rep"_a, "bits_def"_a, "max_rep"_a, "max_visible"_a, "values"_a, "value_bytes"_a, "out"_a,
      "row_starts"_a, Release());
  module.def(
      "zip_variable",
      [](In<uint16_t> rep, In<uint16_t> def, int64_t bits_rep, int64_t bits_def, int64_t max_rep, int64_t max_visible,
         In<uint8_t> offsets, In<uint8_t> data, int64_t length_bytes, Out<uint8_t> out, Out<int64_t> row_starts) {
        zip_variable(rep.span, def.span, bits_rep, bits_def, max_rep, max_visible, offsets.span, data.span,
                     length_bytes, out.span, row_starts.span);
      },
      "rep"_a, "def_"_a, "bits_rep"_a, "bits_def"_a, "max_rep"_a, "max_visible"_a, "offsets"_a, "data"_a,
      "length_bytes"_a, "out"_a, "row_starts"_a, Release());
}

void bind_unzip(nb::module_& module) {
  module.def(
      "unzip_sizes",
      [](InList parts, In<int64_t> row_counts, In<int64_t> row_offsets, int64_t bits_rep, int64_t bits_def,
         int64_t max_rep, int64_t max_def, int64_t max_visible, int64_t value_bytes, int64_t length_bytes) {
        const RecordForm form =
            record_form(bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes);
        return unzip_sizes(parts.spans, row_counts.span, row_offsets.span, form);
      },
      "parts"_a, "row_counts"_a, "row_offsets"_a, "bits_rep"_a, "bits_def"_a, "max_rep"_a, "max_def"_a, "max_visible"_a,
      "value_bytes"_a, "length_bytes"_a, Release());
  module.def(
      "unzip_rows",
      [](InList parts, In<int64_t> row_counts, In<int64_t> row_offsets, int64_t bits_rep, int64_t bits_def,
         int64_t max_rep, int64_t max_def, int64_t max_visible, int64_t value_bytes, int64_t length_bytes,
         Out<uint16_t> rep_out, Out<uint16_t> def_out, Out<uint8_t> offsets_out, Out<uint8_t> values_out) {
        const RecordForm form =
            record_form(bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes);
        unzip_rows(parts.spans, row_counts.span, row_offsets.span, form, rep_out.span, def_out.span, offsets_out.span,
                   values_out.span);
      },
      "parts"_a, "row_counts"_a, "row_offsets"_a, "bits_rep"_a, "bits_def"_a, "max_rep"_a, "max_def"_a, "max_visible"_a,
      "value_bytes"_a, "length_bytes"_a, "rep_out"_a, "def_out"_a, "offsets_out"_a, "values_out"_a, Release());
  module.def(
      "unzip_fsst",
      [](InList parts, In<int64_t> row_counts, In<int64_t> row_offsets, int64_t bits_rep, int64_t bits_def,
         int64_t max_rep, int64_t max_def, int64_t max_visible, int64_t value_bytes, int64_t length_bytes,
         In<uint8_t> table, Out<uint16_t> rep_out, Out<uint16_t> def_out, Out<uint8_t> offsets_out,
         Out<uint8_t> values_out) {
        const RecordForm form =
            record_form(bits_rep, bits_def, max_rep, max_def, max_visible, value_bytes, length_bytes);
        return unzip_fsst(parts.spans, row_counts.span, row_offsets.span, form, table.span, rep_out.span, def_out.span,
                          offsets_out.span, values_out.span);
      },
      "parts"_a, "row_counts"_a, "row_offsets"_a, "bits_rep"_a, "bits_def"_a, "max_rep"_a, "max_def"_a, "max_visible"_a,
      "value_bytes"_a, "length_bytes"_a, "table"_a, "rep_out"_a, "def_out"_a, "offsets_out"_a, "values_out"_a,
      Release());
  module.def(
      "unzip_fixed",
      [](InList parts, int64_t bits_def, int64_t max_def, int64_t value_bytes, Out<uint16_t> def_out,
         Out<uint8_t> values_out) {
        unzip_fixed(parts.spans, bits_def, max_def, value_bytes, def_out.span, values_out.span);
      },
      "parts"_a, "bits_def"_a, "max_def"_a, "value_bytes"_a, "def_out"_a, "values_out"_a, Release());
}

}  // namespace

void bind_fullzip(nb::module_& module) {
  bind_zip(module);
  bind_unzip(module);
}

}  // namespace lancelet
