// Bindings of varwidth.hpp: argument checks and the release of the GIL, nothing else.
#include "bindings.hpp"
#include "buffers.hpp"
#include "offsets.hpp"
#include "varwidth.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

size_t cut(In<uint8_t> offsets, int offset_bits, int64_t target_bytes, int64_t max_values, Out<int64_t> out_counts) {
  return with_offsets(offset_bits, [&](auto zero) {
    return variable_cut<decltype(zero)>(offsets.span, target_bytes, max_values, out_counts.span);
  });
}

size_t encode(In<uint8_t> data, In<uint8_t> offsets, int offset_bits, In<int64_t> counts, bool is_block,
              Out<uint8_t> out, Out<int64_t> out_sizes) {
  return with_offsets(offset_bits, [&](auto zero) {
    return variable_encode<decltype(zero)>(data.span, offsets.span, counts.span, is_block, out.span, out_sizes.span);
  });
}

int64_t decode_offsets(In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> counts, int offset_bits,
                       bool is_block, Out<uint8_t> out_offsets) {
  return with_offsets(offset_bits, [&](auto zero) {
    return variable_decode_offsets<decltype(zero)>(data.span, offsets.span, sizes.span, counts.span, is_block,
                                                   out_offsets.span);
  });
}

void decode(In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> counts, int offset_bits,
            bool is_block, Out<uint8_t> out) {
  with_offsets(offset_bits, [&](auto zero) {
    variable_decode<decltype(zero)>(data.span, offsets.span, sizes.span, counts.span, is_block, out.span);
  });
}

void rebase(In<uint8_t> offsets, int offset_bits, Out<uint8_t> out_offsets) {
  with_offsets(offset_bits, [&](auto zero) { variable_rebase<decltype(zero)>(offsets.span, out_offsets.span); });
}

}  // namespace

void bind_varwidth(nb::module_& module) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  module.def("variable_cut", &cut, "offsets"_a, "offset_bits"_a, "target_bytes"_a, "max_values"_a, "out_counts"_a,
             release);
  module.def("variable_encode", &encode, "data"_a, "offsets"_a, "offset_bits"_a, "counts"_a, "is_block"_a, "out"_a,
             "out_sizes"_a, release);
  module.def("variable_decode_offsets", &decode_offsets, "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "offset_bits"_a,
             "is_block"_a, "out_offsets"_a, release);
  module.def("variable_decode", &decode, "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "offset_bits"_a, "is_block"_a,
             "out"_a, release);
  module.def("variable_rebase", &rebase, "offsets"_a, "offset_bits"_a, "out_offsets"_a, release);
}

}  // namespace lancelet
