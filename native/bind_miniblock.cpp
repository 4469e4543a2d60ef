// Bindings of miniblock.hpp: argument checks and the release of the GIL, nothing else.
#include <nanobind/stl/tuple.h>

#include "bindings.hpp"
#include "buffer_lists.hpp"
#include "buffers.hpp"
#include "chunk_levels.hpp"
#include "miniblock.hpp"
#include "small_page.hpp"
#include "taken_rows.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

void cut(In<uint16_t> def, int max_visible, In<int64_t> counts, Out<int64_t> out_entries) {
  miniblock_cut(def.span, max_visible, counts.span, out_entries.span);
}

void index(In<uint16_t> rep, int max_rep, In<int64_t> entries, Out<uint64_t> out_index) {
  miniblock_index(rep.span, max_rep, entries.span, out_index.span);
}

int64_t words(In<int64_t> counts, In<int64_t> entries, InList sizes, size_t num_levels, bool large, Out<uint8_t> out) {
  const FrameShape shape{sizes.spans, num_levels, large};
  return large ? miniblock_words<uint32_t>(counts.span, entries.span, shape, out.span)
               : miniblock_words<uint16_t>(counts.span, entries.span, shape, out.span);
}

void frame(In<int64_t> entries, InList data, InList sizes, size_t num_levels, bool large, Out<uint8_t> out) {
  miniblock_frame(entries.span, data.spans, {sizes.spans, num_levels, large}, out.span);
}

int64_t small(In<uint8_t> data, int64_t num_values, unsigned bits, bool packed, int64_t chunk_values, In<uint16_t> def,
              bool large, Out<uint8_t> out_words, Out<uint8_t> out) {
  const auto run = large ? &miniblock_small<uint32_t> : &miniblock_small<uint16_t>;
  return run(data.span, num_values, bits, packed, chunk_values, def.span, large, out_words.span, out.span);
}

void open(In<uint8_t> words, bool large, int64_t chunks_bytes, int64_t num_slots, In<uint8_t> index, bool has_index,
          int64_t num_rows, Out<int64_t> out) {
  const auto run = large ? &miniblock_open<uint32_t> : &miniblock_open<uint16_t>;
  run(words.span, chunks_bytes, num_slots, index.span, has_index, num_rows, out.span);
}

std::tuple<int64_t, int64_t, int64_t, int64_t> plan(In<int64_t> tables, In<int64_t> starts, In<int64_t> stops,
                                                    Out<int64_t> out) {
  return miniblock_plan({tables.span}, starts.span, stops.span, out.span);
}

void headers(In<uint8_t> data, In<int64_t> chunk_sizes, In<int64_t> slots, bool has_rep, bool has_def,
             int64_t num_buffers, bool large, Out<int64_t> out_entries, Out<int64_t> out_offsets,
             Out<int64_t> out_sizes) {
  require(num_buffers >= 0 && num_buffers <= 64, "num_buffers must be 0 to 64");
  miniblock_headers(data.span, chunk_sizes.span, slots.span,
                    {has_rep, has_def, static_cast<size_t>(num_buffers), large}, out_entries.span, out_offsets.span,
                    out_sizes.span);
}

void check_def(In<uint16_t> def, In<int64_t> entries, In<int64_t> slots, int max_def, int max_visible) {
  miniblock_check_def(def.span, entries.span, slots.span, max_def, max_visible);
}

void check_rep(Out<uint16_t> rep, In<int64_t> entries, In<int64_t> rows, In<int64_t> begins, In<int64_t> leftovers,
               int max_rep) {
  miniblock_check_rep(rep.span, entries.span, rows.span, begins.span, leftovers.span, max_rep);
}

void select(In<int64_t> chunk_sizes, In<int64_t> slots, In<int64_t> started, In<int64_t> finished,
            In<int64_t> leftovers, In<int64_t> firsts, In<int64_t> lasts, Out<int64_t> out) {
  miniblock_select(chunk_sizes.span, slots.span, started.span, finished.span, leftovers.span, firsts.span, lasts.span,
                   out.span);
}

std::tuple<int64_t, int64_t> pick_levels(In<uint8_t> data, In<int64_t> offsets, In<int64_t> sizes, In<int64_t> entries,
                                         In<int64_t> selected, int64_t rep_width, int64_t def_width, int max_rep,
                                         int max_def, int max_visible, In<int64_t> starts, In<int64_t> stops,
                                         Out<uint16_t> out_rep, Out<uint16_t> out_def, Out<int64_t> out_picks) {
  return miniblock_pick_levels({data.span, offsets.span, sizes.span, entries.span, selected.span}, rep_width, def_width,
                               max_rep, max_def, max_visible, starts.span, stops.span, out_rep.span, out_def.span,
                               out_picks.span);
}

std::tuple<int64_t, int64_t, bool> take(In<uint8_t> data, In<int64_t> tables, In<int64_t> planned, int64_t num_runs,
                                        int64_t num_chunks, int64_t num_buffers, bool large, int64_t rep_width,
                                        int64_t def_width, In<uint8_t> layers, Out<int64_t> out_numbers,
                                        Out<uint16_t> out_levels, Out<uint8_t> out_structure) {
  require(num_buffers >= 0 && num_buffers <= 64, "num_buffers must be 0 to 64");
  return miniblock_take(data.span, {tables.span}, planned.span, num_runs, num_chunks,
                        {rep_width >= 0, def_width >= 0, static_cast<size_t>(num_buffers), large}, rep_width, def_width,
                        layers.span, out_numbers.span, out_levels.span, out_structure.span);
}

}  // namespace

void bind_miniblock(nb::module_& module) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  module.def("miniblock_cut", &cut, "def_"_a, "max_visible"_a, "counts"_a, "out_entries"_a, release);
  module.def("miniblock_index", &index, "rep"_a, "max_rep"_a, "entries"_a, "out_index"_a, release);
  module.def("miniblock_words", &words, "counts"_a, "entries"_a, "sizes"_a, "num_levels"_a, "large"_a, "out"_a,
             release);
  module.def("miniblock_frame", &frame, "entries"_a, "data"_a, "sizes"_a, "num_levels"_a, "large"_a, "out"_a, release);
  module.def("miniblock_small", &small, "data"_a, "num_values"_a, "bits"_a, "packed"_a, "chunk_values"_a, "def_"_a,
             "large"_a, "out_words"_a, "out"_a, release);
  module.def("miniblock_open", &open, "words"_a, "large"_a, "chunks_bytes"_a, "num_slots"_a, "index"_a, "has_index"_a,
             "num_rows"_a, "out"_a, release);
  module.def("miniblock_plan", &plan, "tables"_a, "starts"_a, "stops"_a, "out"_a, release);
  module.def("miniblock_headers", &headers, "data"_a, "chunk_sizes"_a, "slots"_a, "has_rep"_a, "has_def"_a,
             "num_buffers"_a, "large"_a, "out_entries"_a, "out_offsets"_a, "out_sizes"_a, release);
  module.def("miniblock_check_def", &check_def, "def_"_a, "entries"_a, "slots"_a, "max_def"_a, "max_visible"_a,
             release);
  module.def("miniblock_check_rep", &check_rep, "rep"_a, "entries"_a, "rows"_a, "begins"_a, "leftovers"_a, "max_rep"_a,
             release);
  module.def("miniblock_select", &select, "chunk_sizes"_a, "slots"_a, "started"_a, "finished"_a, "leftovers"_a,
             "firsts"_a, "lasts"_a, "out"_a, release);
  module.def("miniblock_pick_levels", &pick_levels, "data"_a, "offsets"_a, "sizes"_a, "entries"_a, "selected"_a,
             "rep_width"_a, "def_width"_a, "max_rep"_a, "max_def"_a, "max_visible"_a, "starts"_a, "stops"_a,
             "out_rep"_a, "out_def"_a, "out_picks"_a, release);
  module.def("miniblock_take", &take, "data"_a, "tables"_a, "planned"_a, "num_runs"_a, "num_chunks"_a, "num_buffers"_a,
             "large"_a, "rep_width"_a, "def_width"_a, "layers"_a, "out_numbers"_a, "out_levels"_a, "out_structure"_a,
             release);
}

}  // namespace lancelet
