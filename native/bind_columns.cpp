// Bindings of columns.hpp: argument checks and the release of the GIL, nothing else.
#include <nanobind/stl/vector.h>

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

std::vector<nb::bytes> moved(In<uint8_t> blocks, In<int64_t> spans, In<int64_t> columns, In<int64_t> pages,
                             In<int64_t> buffers, In<int64_t> starts, In<int64_t> shifts, int64_t first_row) {
  require(columns.span.size() % 2 == 0 && starts.span.size() == shifts.span.size() && first_row >= 0,
          "columns: two numbers a column, a shift for each start, and a first row");
  require(std::is_sorted(starts.span.begin(), starts.span.end()), "columns: the starts are not in order");
  const columns::MovedPages all{blocks.span, spans.span, pages.span, buffers.span, starts.span, shifts.span, first_row};
  std::vector<nb::bytes> found;
  found.reserve(columns.span.size() / 2);
  for (size_t i = 0; i < columns.span.size(); i += 2) {
    const std::string column = all.column(columns.span[i], columns.span[i + 1]);
    found.emplace_back(column.data(), column.size());
  }
  return found;
}

}  // namespace

void bind_columns(nb::module_& module) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  module.def("columns_measure", &measure, "blocks"_a, "edges"_a, "stop"_a, "aligned"_a, "out_counts"_a, release);
  module.def("columns_parse", &parse, "blocks"_a, "edges"_a, "stop"_a, "aligned"_a, "counts"_a, "out_columns"_a,
             "out_pages"_a, "out_buffers"_a, "out_encodings"_a, release);
  module.def("pages_moved", &moved, "blocks"_a, "spans"_a, "columns"_a, "pages"_a, "buffers"_a, "starts"_a, "shifts"_a,
             "first_row"_a);
  module.def("page_places", &places, "wanted"_a, "pages"_a, "buffers"_a, "num_buffers"_a, "out_places"_a);
}

}  // namespace lancelet
