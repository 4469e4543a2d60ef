// Bindings of runs.hpp and flat.hpp: the choice of a type by `bits`, and the release of the GIL.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include "bindings.hpp"
#include "buffers.hpp"
#include "flat.hpp"
#include "runs.hpp"
#include "stats.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

using FreeGil = nb::call_guard<nb::gil_scoped_release>;

template <class Function>
auto with_float_word(int bits, Function&& function) {
  require(bits == 32 || bits == 64, "bits must be 32 or 64");
  return bits == 32 ? function(uint32_t{}) : function(uint64_t{});
}

void bind_rle_encoders(nb::module_& module) {
  module.def(
      "word_stats",
      [](In<uint8_t> data, int bits, int64_t max_run) {
        return with_word(bits, [&](auto zero) { return word_stats<decltype(zero)>(data.span, max_run); });
      },
      "data"_a, "bits"_a, "max_run"_a, FreeGil());
  module.def(
      "rle_cut",
      [](In<uint8_t> data, int bits, int64_t max_values, int64_t max_bytes, Out<int64_t> out_counts,
         Out<int64_t> out_entries) {
        return with_word(bits, [&](auto zero) {
          return rle_cut<decltype(zero)>(data.span, max_values, max_bytes, out_counts.span, out_entries.span);
        });
      },
      "data"_a, "bits"_a, "max_values"_a, "max_bytes"_a, "out_counts"_a, "out_entries"_a, FreeGil());
  module.def(
      "rle_encode",
      [](In<uint8_t> data, int bits, In<int64_t> counts, Out<uint8_t> out_values, Out<uint8_t> out_lengths,
         Out<int64_t> out_entries) {
        return with_word(bits, [&](auto zero) {
          return rle_encode<decltype(zero)>(data.span, counts.span, out_values.span, out_lengths.span,
                                            out_entries.span);
        });
      },
      "data"_a, "bits"_a, "counts"_a, "out_values"_a, "out_lengths"_a, "out_entries"_a, FreeGil());
  module.def(
      "rle_encode_blocks",
      [](In<uint8_t> data, int bits, In<int64_t> counts, Out<uint8_t> out, Out<int64_t> out_sizes) {
        return with_word(bits, [&](auto zero) {
          return rle_encode_blocks<decltype(zero)>(data.span, counts.span, out.span, out_sizes.span);
        });
      },
      "data"_a, "bits"_a, "counts"_a, "out"_a, "out_sizes"_a, FreeGil());
}

void bind_rle_decoders(nb::module_& module) {
  module.def(
      "rle_decode",
      [](In<uint8_t> values, In<int64_t> value_offsets, In<int64_t> value_sizes, In<uint8_t> lengths,
         In<int64_t> length_offsets, In<int64_t> length_sizes, In<int64_t> counts, int bits, int length_bits,
         Out<uint8_t> out) {
        with_word(bits, [&](auto zero) {
          rle_decode<decltype(zero)>({values.span, value_offsets.span, value_sizes.span},
                                     {lengths.span, length_offsets.span, length_sizes.span}, counts.span, length_bits,
                                     out.span);
        });
      },
      "values"_a, "value_offsets"_a, "value_sizes"_a, "lengths"_a, "length_offsets"_a, "length_sizes"_a, "counts"_a,
      "bits"_a, "length_bits"_a, "out"_a, FreeGil());
  module.def(
      "rle_decode_blocks",
      [](In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> counts, int bits, int length_bits,
         Out<uint8_t> out) {
        with_word(bits, [&](auto zero) {
          rle_decode_blocks<decltype(zero)>({data.span, offsets.span, sizes.span}, counts.span, length_bits, out.span);
        });
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "bits"_a, "length_bits"_a, "out"_a, FreeGil());
}

void bind_byte_stream_split(nb::module_& module) {
  module.def(
      "bss_encode",
      [](In<uint8_t> data, In<int64_t> counts, int bits, Out<uint8_t> out) {
        with_float_word(bits, [&](auto zero) { bss_encode<decltype(zero)>(data.span, counts.span, out.span); });
      },
      "data"_a, "counts"_a, "bits"_a, "out"_a, FreeGil());
  module.def(
      "bss_decode",
      [](In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> counts, int bits, Out<uint8_t> out) {
        with_float_word(bits, [&](auto zero) {
          bss_decode<decltype(zero)>({data.span, offsets.span, sizes.span}, counts.span, out.span);
        });
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "bits"_a, "out"_a, FreeGil());
}

void bind_flat(nb::module_& module) {
  module.def(
      "flat_gather",
      [](In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> counts, int64_t bits, Out<uint8_t> out) {
        flat_gather(data.span, offsets.span, sizes.span, counts.span, bits, out.span);
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "bits"_a, "out"_a, FreeGil());
  module.def(
      "flat_bits_decode",
      [](In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> counts, Out<uint8_t> out) {
        flat_bits_decode(data.span, offsets.span, sizes.span, counts.span, out.span);
      },
      "data"_a, "offsets"_a, "sizes"_a, "counts"_a, "out"_a, FreeGil());
  module.def(
      "flat_bits_encode",
      [](In<uint8_t> data, In<int64_t> counts, Out<uint8_t> out) {
        flat_bits_encode(data.span, counts.span, out.span);
      },
      "data"_a, "counts"_a, "out"_a, FreeGil());
  module.def(
      "records_put",
      [](In<uint8_t> data, int64_t num_rows, int64_t row_bits, int64_t record_bytes, int64_t position,
         Out<uint8_t> out) { records_put(data.span, num_rows, row_bits, record_bytes, position, out.span); },
      "data"_a, "num_rows"_a, "row_bits"_a, "record_bytes"_a, "position"_a, "out"_a, FreeGil());
  module.def(
      "records_get",
      [](In<uint8_t> data, int64_t num_rows, int64_t row_bits, int64_t record_bytes, int64_t position,
         Out<uint8_t> out) { records_get(data.span, num_rows, row_bits, record_bytes, position, out.span); },
      "data"_a, "num_rows"_a, "row_bits"_a, "record_bytes"_a, "position"_a, "out"_a, FreeGil());
}

}  // namespace

void bind_runs(nb::module_& module) {
  bind_rle_encoders(module);
  bind_rle_decoders(module);
  bind_byte_stream_split(module);
  bind_flat(module);
}

}  // namespace lancelet
