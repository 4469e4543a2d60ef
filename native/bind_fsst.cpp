// Bindings of fsst.hpp and fsst_train.hpp: argument checks and the release of the GIL, nothing else.
#include <nanobind/stl/pair.h>

#include "bindings.hpp"
#include "buffers.hpp"
#include "fsst.hpp"
#include "fsst_train.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

int64_t fsst_train_any(In<uint8_t> data, In<uint8_t> offsets, int offset_bits, Out<uint8_t> out_table) {
  return with_offsets(
      offset_bits, [&]<class Offset>(Offset) { return fsst_train<Offset>(data.span, offsets.span, out_table.span); });
}

int64_t fsst_encode_any(In<uint8_t> table, In<uint8_t> data, In<uint8_t> offsets, int offset_bits,
                        Out<uint8_t> out_offsets, Out<uint8_t> out) {
  return with_offsets(offset_bits, [&]<class Offset>(Offset) {
    return fsst_encode<Offset>(table.span, data.span, offsets.span, out_offsets.span, out.span);
  });
}

int64_t fsst_decode_offsets_any(In<uint8_t> table, In<uint8_t> data, In<uint8_t> offsets, int offset_bits,
                                Out<uint8_t> out_offsets) {
  return with_offsets(offset_bits, [&]<class Offset>(Offset) {
    return fsst_decode_offsets<Offset>(table.span, data.span, offsets.span, out_offsets.span);
  });
}

void fsst_decode_any(In<uint8_t> table, In<uint8_t> data, In<uint8_t> offsets, int offset_bits, Out<uint8_t> out) {
  with_offsets(offset_bits,
               [&]<class Offset>(Offset) { fsst_decode<Offset>(table.span, data.span, offsets.span, out.span); });
}

std::pair<int64_t, bool> fsst_decode_values_any(In<uint8_t> table, In<uint8_t> data, In<uint8_t> offsets,
                                                int offset_bits, Out<uint8_t> out_offsets, Out<uint8_t> out) {
  return with_offsets(offset_bits, [&]<class Offset>(Offset) {
    return fsst_decode_values<Offset>(table.span, data.span, offsets.span, out_offsets.span, out.span);
  });
}

}  // namespace

void bind_fsst(nb::module_& module) {
  module.def("fsst_train", &fsst_train_any, "data"_a, "offsets"_a, "offset_bits"_a, "out_table"_a,
             nb::call_guard<nb::gil_scoped_release>());
  module.def("fsst_encode", &fsst_encode_any, "table"_a, "data"_a, "offsets"_a, "offset_bits"_a, "out_offsets"_a,
             "out"_a, nb::call_guard<nb::gil_scoped_release>());
  module.def("fsst_decode_offsets", &fsst_decode_offsets_any, "table"_a, "data"_a, "offsets"_a, "offset_bits"_a,
             "out_offsets"_a, nb::call_guard<nb::gil_scoped_release>());
  module.def("fsst_decode", &fsst_decode_any, "table"_a, "data"_a, "offsets"_a, "offset_bits"_a, "out"_a,
             nb::call_guard<nb::gil_scoped_release>());
  module.def("fsst_decode_values", &fsst_decode_values_any, "table"_a, "data"_a, "offsets"_a, "offset_bits"_a,
             "out_offsets"_a, "out"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace lancelet
