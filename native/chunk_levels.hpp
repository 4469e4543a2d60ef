// The levels of rows that are taken from mini-block chunks, in one call: what bitpack.hpp, miniblock.hpp and picks.hpp
// do one after the other (structural.md 5.5 to 5.7).
#pragma once

#include <tuple>

#include "bitpack.hpp"
#include "miniblock.hpp"
#include "picks.hpp"

namespace lancelet {

// Chunks of a page as miniblock_headers and miniblock_select describe them.
struct ChunkTables {
  Bytes data;
  std::span<const int64_t> offsets;  // of the parts: rep if there is one, def if there is one, buffers of values
  std::span<const int64_t> sizes;
  std::span<const int64_t> entries;
  std::span<const int64_t> selected;  // five rows: bytes, slots, rows, begins, leftovers

  size_t num_chunks() const { return entries.size(); }
  std::span<const int64_t> row(size_t i) const { return selected.subspan(i * num_chunks(), num_chunks()); }

  // Unpacks the levels of one part.
  void unpack(size_t part, int64_t width, MutableLevels out) const {
    require((part + 1) * num_chunks() <= offsets.size(), "the chunks have fewer parts");
    const size_t first = part * num_chunks();
    out_of_line_unpack(data, offsets.subspan(first, num_chunks()), sizes.subspan(first, num_chunks()), entries, 16,
                       static_cast<unsigned>(width), {reinterpret_cast<uint8_t*>(out.data()), out.size_bytes()});
  }
};

// Moves ranges of levels to the front; returns how many they are.
inline size_t keep_levels(std::span<const int64_t> starts, std::span<const int64_t> stops, MutableLevels levels) {
  size_t kept = 0;
  for (size_t i = 0; i < starts.size(); ++i) {
    const auto start = static_cast<size_t>(starts[i]);
    const auto stop = static_cast<size_t>(stops[i]);
    require(kept <= start && start <= stop && stop <= levels.size(), "a row that does not exist");
    if (stop > start) std::memmove(levels.data() + kept, levels.data() + start, (stop - start) * sizeof(uint16_t));
    kept += stop - start;
  }
  return kept;
}

// A width of -1: there are no such levels. out_picks as in select_rows. Returns the entries and the slots of the rows.
inline std::tuple<int64_t, int64_t> miniblock_pick_levels(ChunkTables chunks, int64_t rep_width, int64_t def_width,
                                                          int max_rep, int max_def, int max_visible,
                                                          std::span<const int64_t> starts,
                                                          std::span<const int64_t> stops, MutableLevels rep,
                                                          MutableLevels def, std::span<int64_t> out_picks) {
  const size_t num_ranges = starts.size();
  require(rep_width <= 16 && def_width <= 16 && (rep_width >= 0 || def_width >= 0), "levels have at most 16 bits");
  require(chunks.selected.size() == 5 * chunks.num_chunks() && chunks.offsets.size() == chunks.sizes.size(),
          "miniblock_pick_levels: five numbers a chunk, one size an offset");
  require(out_picks.size() == 4 * num_ranges, "miniblock_pick_levels: four numbers a range");
  const bool has_rep = rep_width >= 0;
  if (has_rep) {
    chunks.unpack(0, rep_width, rep);
    miniblock_check_rep(rep, chunks.entries, chunks.row(2), chunks.row(3), chunks.row(4), max_rep);
  }
  if (def_width >= 0) {
    chunks.unpack(has_rep ? 1 : 0, def_width, def);
    miniblock_check_def(def, chunks.entries, chunks.row(1), max_def, max_visible);
  }
  const auto picks = [&](size_t i) { return out_picks.subspan(i * num_ranges, num_ranges); };
  if (has_rep) {
    select_rows(rep, def, max_rep, max_visible, starts, stops, out_picks);
  } else {  // a row is an entry and has a slot
    const Picks rows(starts, stops);
    for (size_t i = 0; i < num_ranges; ++i) {
      picks(0)[i] = picks(2)[i] = starts[i];
      picks(1)[i] = picks(3)[i] = stops[i];
    }
  }
  size_t num_entries = 0;
  if (has_rep) num_entries = keep_levels(picks(0), picks(1), rep);
  if (def_width >= 0) num_entries = keep_levels(picks(0), picks(1), def);
  int64_t num_slots = 0;
  for (size_t i = 0; i < num_ranges; ++i) num_slots += picks(3)[i] - picks(2)[i];
  return {static_cast<int64_t>(num_entries), num_slots};
}

}  // namespace lancelet
