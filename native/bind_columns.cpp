// Bindings of columns.hpp: argument checks and the release of the GIL, nothing else.
#include "bindings.hpp"
#include "buffers.hpp"
#include "columns.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

void measure(In<uint8_t> blocks, In<int64_t> edges, int64_t stop, bool aligned, Out<int64_t> out_counts) {
  columns::columns_measure(blocks.span, edges.span, stop, aligned, out_counts.span);
}

size_t parse(In<uint8_t> blocks, In<int64_t> edges, int64_t stop, bool aligned, In<int64_t> counts,
             Out<int64_t> out_columns, Out<int64_t> out_pages, Out<int64_t> out_buffers, Out<int64_t> out_encodings) {
  return columns::columns_parse(blocks.span, edges.span, stop, aligned, counts.span,
                                {out_columns.span, out_pages.span, out_buffers.span}, out_encodings.span);
}

void places(In<int64_t> wanted, In<int64_t> pages, In<int64_t> buffers, In<int64_t> num_buffers,
            Out<int64_t> out_places) {
  columns::page_places(wanted.span, pages.span, buffers.span, num_buffers.span, out_places.span);
}

}  // namespace

void bind_columns(nb::module_& module) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  module.def("columns_measure", &measure, "blocks"_a, "edges"_a, "stop"_a, "aligned"_a, "out_counts"_a, release);
  module.def("columns_parse", &parse, "blocks"_a, "edges"_a, "stop"_a, "aligned"_a, "counts"_a, "out_columns"_a,
             "out_pages"_a, "out_buffers"_a, "out_encodings"_a, release);
  module.def("page_places", &places, "wanted"_a, "pages"_a, "buffers"_a, "num_buffers"_a, "out_places"_a);
}

}  // namespace lancelet
