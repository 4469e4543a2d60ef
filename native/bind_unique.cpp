// Bindings of unique.hpp and gather.hpp: argument checks and the release of the GIL, nothing else.
#include "bindings.hpp"
#include "buffers.hpp"
#include "gather.hpp"
#include "unique.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

int64_t unique_fixed_any(In<uint8_t> data, int value_bytes, int64_t max_entries, Out<uint32_t> out_indices,
                         Out<int64_t> out_first) {
  switch (value_bytes) {
    case 4: return unique_fixed<uint32_t>(data.span, max_entries, out_indices.span, out_first.span);
    case 8: return unique_fixed<uint64_t>(data.span, max_entries, out_indices.span, out_first.span);
    case 16: return unique_fixed<Word128>(data.span, max_entries, out_indices.span, out_first.span);
    default: throw BadArgument("value_bytes must be 4, 8 or 16");
  }
}

int64_t unique_variable_any(In<uint8_t> data, In<uint8_t> offsets, int offset_bits, int64_t max_entries,
                            int64_t max_bytes, Out<uint32_t> out_indices, Out<int64_t> out_first) {
  return with_offsets(offset_bits, [&]<class Offset>(Offset) {
    return unique_variable<Offset>(data.span, offsets.span, max_entries, max_bytes, out_indices.span, out_first.span);
  });
}

void gather_fixed_any(In<uint8_t> data, int64_t value_bytes, In<uint8_t> indices, int index_bits, In<uint8_t> validity,
                      Out<uint8_t> out) {
  with_indices(index_bits, [&]<class Index>(Index) {
    gather_fixed<Index>(data.span, value_bytes, indices.span, validity.span, out.span);
  });
}

int64_t gather_variable_offsets_any(In<uint8_t> offsets, int offset_bits, In<uint8_t> indices, int index_bits,
                                    In<uint8_t> validity, Out<uint8_t> out_offsets) {
  return with_offsets(offset_bits, [&]<class Offset>(Offset) {
    return with_indices(index_bits, [&]<class Index>(Index) {
      return gather_variable_offsets<Offset, Index>(offsets.span, indices.span, validity.span, out_offsets.span);
    });
  });
}

void gather_variable_any(In<uint8_t> data, In<uint8_t> offsets, int offset_bits, In<uint8_t> indices, int index_bits,
                         In<uint8_t> validity, In<uint8_t> out_offsets, Out<uint8_t> out) {
  with_offsets(offset_bits, [&]<class Offset>(Offset) {
    with_indices(index_bits, [&]<class Index>(Index) {
      gather_variable<Offset, Index>(data.span, offsets.span, indices.span, validity.span, out_offsets.span, out.span);
    });
  });
}

}  // namespace

void bind_unique(nb::module_& module) {
  module.def("unique_fixed", &unique_fixed_any, "data"_a, "value_bytes"_a, "max_entries"_a, "out_indices"_a,
             "out_first"_a, nb::call_guard<nb::gil_scoped_release>());
  module.def("unique_variable", &unique_variable_any, "data"_a, "offsets"_a, "offset_bits"_a, "max_entries"_a,
             "max_bytes"_a, "out_indices"_a, "out_first"_a, nb::call_guard<nb::gil_scoped_release>());
  module.def("gather_fixed", &gather_fixed_any, "data"_a, "value_bytes"_a, "indices"_a, "index_bits"_a, "validity"_a,
             "out"_a, nb::call_guard<nb::gil_scoped_release>());
  module.def("gather_variable_offsets", &gather_variable_offsets_any, "offsets"_a, "offset_bits"_a, "indices"_a,
             "index_bits"_a, "validity"_a, "out_offsets"_a, nb::call_guard<nb::gil_scoped_release>());
  module.def("gather_variable", &gather_variable_any, "data"_a, "offsets"_a, "offset_bits"_a, "indices"_a,
             "index_bits"_a, "validity"_a, "out_offsets"_a, "out"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace lancelet
