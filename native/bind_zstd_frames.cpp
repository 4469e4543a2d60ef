// Bindings of zstd_frames.hpp: argument checks and the release of the GIL, nothing else.
#include "bindings.hpp"
#include "buffer_lists.hpp"
#include "buffers.hpp"
#include "zstd_frames.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

int64_t zstd_copy_raw_any(InList buffers, In<int64_t> sizes, Out<uint8_t> out, Out<uint8_t> taken) {
  return zstd_copy_raw(buffers.spans, sizes.span, out.span, taken.span);
}

}  // namespace

void bind_zstd_frames(nb::module_& module) {
  module.def("zstd_copy_raw", &zstd_copy_raw_any, "buffers"_a, "sizes"_a, "out"_a, "taken"_a,
             nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace lancelet
