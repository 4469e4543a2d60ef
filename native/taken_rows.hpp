// A few rows of mini-block chunks in one call: what miniblock.hpp, chunk_levels.hpp and layers.hpp do one after the
// other (structural.md 4.5 and 5.3 to 5.7).
#pragma once

#include <algorithm>
#include <tuple>
#include <vector>

#include "chunk_levels.hpp"
#include "layers.hpp"
#include "miniblock.hpp"

namespace lancelet {

// Entries of the chunks up to which they are decoded here: the rows are few.
constexpr int64_t most_taken_entries = int64_t{1} << 16;

// out_numbers: slots of each chunk; offsets and sizes of its value buffers; first and last value of each range; values
// and nulls of each layer. out_levels has the same room for rep and def. Gives the entries of the rows, -1 if they, or
// those of the chunks, are too many; their slots; and whether out_structure and the numbers of the layers are set.
inline std::tuple<int64_t, int64_t, bool> miniblock_take(Bytes data, PageTables page, std::span<const int64_t> planned,
                                                         int64_t num_runs, int64_t wanted_chunks, ChunkShape shape,
                                                         int64_t rep_width, int64_t def_width, Bytes layer_numbers,
                                                         std::span<int64_t> out_numbers, MutableLevels out_levels,
                                                         MutableBytes out_structure) {
  const Layers layers(layer_numbers);
  require(page.numbers.size() % PageTables::num_rows == 0 && planned.size() % 6 == 0,
          "miniblock_take: six numbers a chunk and a range");
  const size_t num_ranges = planned.size() / 6;
  require(num_runs >= 1 && static_cast<uint64_t>(num_runs) <= num_ranges && wanted_chunks >= 1 &&
              static_cast<uint64_t>(wanted_chunks) <= page.num_chunks(),
          "miniblock_take: no such runs or chunks");
  const auto num_chunks = static_cast<size_t>(wanted_chunks);
  const size_t num_values = shape.num_buffers * num_chunks;
  require(out_numbers.size() == num_chunks + 2 * num_values + 2 * num_ranges + 2 * layers.size(),
          "miniblock_take: out_numbers has another size");
  const auto plan = [&](size_t i, size_t count) { return planned.subspan(i * num_ranges, count); };
  const auto runs = static_cast<size_t>(num_runs);

  std::vector<int64_t> selected(5 * num_chunks);
  miniblock_select(page.row(PageTables::sizes), page.row(PageTables::slots), page.row(PageTables::started),
                   page.row(PageTables::finished), page.row(PageTables::leftovers), plan(0, runs), plan(1, runs),
                   selected);
  const std::span<const int64_t> chunk_sizes = std::span(selected).first(num_chunks);
  const std::span<const int64_t> slots = std::span(selected).subspan(num_chunks, num_chunks);
  std::vector<int64_t> entries(num_chunks);
  std::vector<int64_t> offsets(shape.num_parts() * num_chunks);
  std::vector<int64_t> sizes(offsets.size());
  miniblock_headers(data, chunk_sizes, slots, shape, entries, offsets, sizes);
  int64_t num_entries = 0;
  for (const int64_t count : entries) num_entries += count;
  if (num_entries > most_taken_entries) return {-1, 0, false};

  const auto num_levels = static_cast<size_t>(num_entries);
  std::vector<uint16_t> rep(shape.has_rep ? num_levels : 0);
  std::vector<uint16_t> def(shape.has_def ? num_levels : 0);
  std::vector<int64_t> picks(4 * num_ranges);
  const auto [kept, num_slots] = miniblock_pick_levels(
      {data, offsets, sizes, entries, selected}, rep_width, def_width, static_cast<int>(layers.max_rep()),
      static_cast<int>(layers.max_def()), static_cast<int>(layers.max_visible(0)), plan(4, num_ranges),
      plan(5, num_ranges), rep, def, picks);
  const size_t room = out_levels.size() / 2;
  const auto num_kept = static_cast<size_t>(kept);
  if (num_kept > room) return {-1, 0, false};
  rep.resize(shape.has_rep ? num_kept : 0);
  def.resize(shape.has_def ? num_kept : 0);
  std::ranges::copy(rep, out_levels.begin());
  std::ranges::copy(def, out_levels.subspan(room).begin());

  const size_t value_parts = offsets.size() - num_values;
  auto out = std::ranges::copy(slots, out_numbers.begin()).out;
  out = std::copy(offsets.begin() + static_cast<std::ptrdiff_t>(value_parts), offsets.end(), out);
  out = std::copy(sizes.begin() + static_cast<std::ptrdiff_t>(value_parts), sizes.end(), out);
  out = std::copy(picks.begin() + static_cast<std::ptrdiff_t>(2 * num_ranges), picks.end(), out);
  int64_t num_rows = 0;
  for (size_t i = 0; i < num_ranges; ++i) num_rows += plan(5, num_ranges)[i] - plan(4, num_ranges)[i];
  const size_t stride = layer_bitmap_bytes(num_kept) + layer_offsets_bytes(num_kept);
  require(layers.size() * stride <= out_structure.size(), "miniblock_take: out_structure is too small");
  const bool known = unravel_layers(rep, def, layer_numbers, num_rows, num_slots,
                                    out_structure.first(layers.size() * stride), out_numbers.last(2 * layers.size()));
  return {kept, num_slots, known};
}

}  // namespace lancelet
