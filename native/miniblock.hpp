// The frame of mini-block pages: chunk words, chunk headers, repetition index, levels of chunks (structural.md 5).
#pragma once

#include <algorithm>
#include <bit>
#include <tuple>
#include <vector>

#include "span.hpp"

namespace lancelet {

namespace detail {

constexpr uint64_t chunk_alignment = 8;
constexpr int64_t most_slots_of_a_chunk = 32768;
constexpr uint64_t most_entries_of_a_chunk = 65535;

inline uint64_t aligned(uint64_t size) { return (size + chunk_alignment - 1) / chunk_alignment * chunk_alignment; }

// The levels of one chunk; corrupt counts were refused where they were read, so a mismatch here is the caller's.
inline std::span<const uint16_t> take(std::span<const uint16_t>& levels, int64_t count) {
  require(count >= 0 && static_cast<uint64_t>(count) <= levels.size(), "the entries do not add up to the levels");
  const auto part = levels.first(static_cast<size_t>(count));
  levels = levels.subspan(static_cast<size_t>(count));
  return part;
}

}  // namespace detail

// ---- writing

// entries[i] = entries of chunk i: up to its last visible one; the last chunk takes all that is left.
inline void miniblock_cut(std::span<const uint16_t> def, int max_visible, std::span<const int64_t> counts,
                          std::span<int64_t> entries) {
  require(entries.size() == counts.size() && !counts.empty(), "miniblock_cut: one number of entries a chunk");
  size_t position = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const size_t start = position;
    int64_t missing = counts[i];
    require(missing > 0, "miniblock_cut: a chunk without slots");
    for (; missing > 0 && position < def.size(); ++position) missing -= def[position] <= max_visible;
    require(missing == 0, "the visible levels are fewer than the slots");
    entries[i] = static_cast<int64_t>(position - start);
  }
  for (size_t k = position; k < def.size(); ++k)
    require(def[k] > max_visible, "the visible levels are more than the slots");
  entries.back() += static_cast<int64_t>(def.size() - position);
}

// index = per chunk: rows that end in it, entries of a row that goes on in the next one.
inline void miniblock_index(std::span<const uint16_t> rep, int max_rep, std::span<const int64_t> entries,
                            std::span<uint64_t> index) {
  require(index.size() == 2 * entries.size(), "miniblock_index: two numbers a chunk");
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto part = detail::take(rep, entries[i]);
    require(!part.empty(), "miniblock_index: a chunk without entries");
    uint64_t starts = 0;
    size_t last_start = 0;
    for (size_t k = 0; k < part.size(); ++k) {
      if (part[k] == max_rep) {
        starts += k > 0;
        last_start = k;
      }
    }
    const bool complete = rep.empty() || rep.front() == max_rep;
    index[2 * i] = starts + complete;
    index[2 * i + 1] = complete ? 0 : part.size() - last_start;
  }
  require(rep.empty(), "the entries do not add up to the levels");
}

// What a chunk is made of: num_levels buffers of levels, then buffers of values; sizes[p] holds an int64 a chunk.
struct FrameShape {
  std::span<const Bytes> sizes;
  size_t num_levels;
  bool large;

  size_t most_bytes() const { return large ? size_t{1} << 31 : size_t{32} << 10; }
  uint64_t size_of(size_t part, size_t chunk) const {
    const auto size = load<int64_t>(sizes[part].data() + chunk * sizeof(int64_t));
    require(size >= 0, "a part of a chunk has a negative size");
    return static_cast<uint64_t>(size);
  }
  uint64_t header_bytes() const { return 2 + 2 * num_levels + (large ? 4 : 2) * (sizes.size() - num_levels); }
  void check(size_t num_chunks) const {
    require(num_levels <= sizes.size() && sizes.size() <= 66, "a chunk has at most 66 parts, levels among them");
    for (const Bytes part : sizes)
      require(part.size() == num_chunks * sizeof(int64_t), "every part of a chunk needs one size a chunk");
  }
};

// The word of each chunk; returns the bytes of all chunks, or -1 where a limit of structural.md 5.4 is broken.
template <class Word>
int64_t miniblock_words(std::span<const int64_t> counts, std::span<const int64_t> entries, FrameShape shape,
                        MutableBytes words) {
  const size_t num_chunks = counts.size();
  shape.check(num_chunks);
  require(entries.size() == num_chunks && words.size() == num_chunks * sizeof(Word),
          "miniblock_words: one number of entries and one word a chunk");
  uint64_t total = 0;
  for (size_t i = 0; i < num_chunks; ++i) {
    const bool is_last = i + 1 == num_chunks;
    const auto count = static_cast<uint64_t>(counts[i]);
    require(counts[i] >= 1 && counts[i] <= detail::most_slots_of_a_chunk && entries[i] >= 0,
            "a chunk has 1 to 32768 slots");
    require(is_last || (count >= 2 && std::has_single_bit(count)),
            "every chunk but the last holds a power of two of values, from 2 to 32768");
    if (shape.num_levels > 0 && static_cast<uint64_t>(entries[i]) > detail::most_entries_of_a_chunk) return -1;
    uint64_t size = detail::aligned(shape.header_bytes());
    for (size_t p = 0; p < shape.sizes.size(); ++p) {
      const uint64_t part = shape.size_of(p, i);
      if (part > (p < shape.num_levels ? uint64_t{65535} : shape.most_bytes())) return -1;
      size += detail::aligned(part);
    }
    if (size > shape.most_bytes()) return -1;
    const uint64_t log = is_last ? 0 : static_cast<uint64_t>(std::countr_zero(count));
    store(words.data() + i * sizeof(Word), static_cast<Word>((size / detail::chunk_alignment - 1) << 4 | log));
    total += size;
  }
  return static_cast<int64_t>(total);
}

// The chunks: header and parts, each padded with 0xFE. The chunks of data[p] lie back to back.
inline void miniblock_frame(std::span<const int64_t> entries, std::span<const Bytes> data, FrameShape shape,
                            MutableBytes out) {
  const size_t num_chunks = entries.size();
  shape.check(num_chunks);
  require(data.size() == shape.sizes.size(), "miniblock_frame: every part needs its data");
  std::vector<Bytes> rest(data.begin(), data.end());
  const auto pad = [&out](size_t size) {
    const size_t padding = detail::aligned(size) - size;
    require(padding <= out.size(), "the chunks do not fit the output");
    std::fill_n(out.data(), padding, uint8_t{0xFE});
    out = out.subspan(padding);
  };
  for (size_t i = 0; i < num_chunks; ++i) {
    const size_t header_bytes = shape.header_bytes();
    require(header_bytes <= out.size(), "the chunks do not fit the output");
    store(out.data(), static_cast<uint16_t>(shape.num_levels > 0 ? entries[i] : 0));
    uint8_t* field = out.data() + 2;
    for (size_t p = 0; p < rest.size(); ++p) {
      const bool wide = shape.large && p >= shape.num_levels;
      if (wide)
        store(field, static_cast<uint32_t>(shape.size_of(p, i)));
      else
        store(field, static_cast<uint16_t>(shape.size_of(p, i)));
      field += wide ? 4 : 2;
    }
    out = out.subspan(header_bytes);
    pad(header_bytes);
    for (size_t p = 0; p < rest.size(); ++p) {
      const size_t size = shape.size_of(p, i);
      require(size <= rest[p].size(), "the sizes do not add up to the data");
      require(size <= out.size(), "the chunks do not fit the output");
      std::copy_n(rest[p].data(), size, out.data());
      rest[p] = rest[p].subspan(size);
      out = out.subspan(size);
      pad(size);
    }
  }
  for (const Bytes part : rest) require(part.empty(), "the sizes do not add up to the data");
  require(out.empty(), "the chunks do not fill the output");
}

// ---- reading

// chunk_sizes[i] = bytes of chunk i, slots[i] = its slots.
template <class Word>
void miniblock_chunks(Bytes words, int64_t chunks_bytes, int64_t num_slots, std::span<int64_t> chunk_sizes,
                      std::span<int64_t> slots) {
  check_data(words.size() % sizeof(Word) == 0, "the chunk words are not a whole number of words");
  const size_t num_chunks = words.size() / sizeof(Word);
  require(chunk_sizes.size() == num_chunks && slots.size() == num_chunks && num_slots >= 0,
          "miniblock_chunks: one size and count a chunk");
  int64_t total_bytes = 0;
  int64_t rest = num_slots;
  for (size_t i = 0; i < num_chunks; ++i) {
    const uint64_t word = load<Word>(words.data() + i * sizeof(Word));
    const auto log = static_cast<int>(word & 15);
    chunk_sizes[i] = static_cast<int64_t>(((word >> 4) + 1) * detail::chunk_alignment);
    total_bytes += chunk_sizes[i];
    if (i + 1 < num_chunks) {
      check_data(log > 0, "a chunk that is not the last one has one slot");
      slots[i] = int64_t{1} << log;
    } else {
      check_data(rest <= detail::most_slots_of_a_chunk, "the chunks have fewer slots than the page");
      check_data(log == 0 || rest == int64_t{1} << log, "the last chunk states another number of slots than is left");
      slots[i] = rest;
    }
    rest -= slots[i];
    check_data(rest >= 0 && slots[i] > 0, "the chunks have more slots than the page");
  }
  check_data(rest == 0, "the page has slots and no chunks");
  check_data(total_bytes == chunks_bytes, "the sizes of the chunks do not add up to their buffer");
}

// started[i], finished[i] = rows that start (end) in chunks 0..i; leftovers[i] as stored.
inline void miniblock_rows(Bytes index, int64_t num_rows, std::span<int64_t> started, std::span<int64_t> finished,
                           std::span<int64_t> leftovers) {
  const size_t num_chunks = started.size();
  require(finished.size() == num_chunks && leftovers.size() == num_chunks && num_rows >= 0,
          "miniblock_rows: three numbers a chunk");
  check_data(index.size() == 16 * num_chunks, "the repetition index has another size than the chunks need");
  int64_t before = 0;
  int64_t total = 0;
  for (size_t i = 0; i < num_chunks; ++i) {
    const auto ends = load<uint64_t>(index.data() + 16 * i);
    const auto leftover = load<uint64_t>(index.data() + 16 * i + 8);
    check_data(ends <= static_cast<uint64_t>(num_rows - total), "more rows end in the chunks than the page has");
    check_data(leftover <= detail::most_entries_of_a_chunk, "a row continues with more entries than a chunk can hold");
    total += static_cast<int64_t>(ends);
    finished[i] = total;
    started[i] = total + (leftover > 0);
    leftovers[i] = static_cast<int64_t>(leftover);
    check_data(started[i] >= before, "a row that continues in the next chunk does not end there");
    before = started[i];
  }
  check_data(total == num_rows, "fewer rows end in the chunks than the page has");
  check_data(num_chunks == 0 || leftovers.back() == 0, "a row continues after the last chunk");
}

// What is known of the chunks of an opened page: rows of numbers, one a chunk.
struct PageTables {
  std::span<const int64_t> numbers;
  enum Row : size_t { sizes, stops, slots, started, finished, leftovers, num_rows };

  size_t num_chunks() const { return numbers.size() / num_rows; }
  std::span<const int64_t> row(Row i) const { return numbers.subspan(i * num_chunks(), num_chunks()); }
};

// Fills the tables of a page. Without an index every chunk ends with a row, and has as many as slots.
template <class Word>
void miniblock_open(Bytes words, int64_t chunks_bytes, int64_t num_slots, Bytes index, bool has_index,
                    int64_t num_page_rows, std::span<int64_t> out) {
  const size_t num_chunks = words.size() / sizeof(Word);
  require(out.size() == PageTables::num_rows * num_chunks, "miniblock_open: six numbers a chunk");
  require(has_index || index.empty(), "miniblock_open: an index that the page does not have");
  const auto row = [&](PageTables::Row i) { return out.subspan(i * num_chunks, num_chunks); };
  const auto sizes = row(PageTables::sizes);
  const auto slots = row(PageTables::slots);
  miniblock_chunks<Word>(words, chunks_bytes, num_slots, sizes, slots);
  int64_t stop = 0;
  int64_t started = 0;
  for (size_t i = 0; i < num_chunks; ++i) {
    row(PageTables::stops)[i] = stop += sizes[i];
    if (has_index) continue;
    row(PageTables::started)[i] = row(PageTables::finished)[i] = started += slots[i];
    row(PageTables::leftovers)[i] = 0;
  }
  if (has_index)
    miniblock_rows(index, num_page_rows, row(PageTables::started), row(PageTables::finished),
                   row(PageTables::leftovers));
}

// The chunks that hold sorted ranges of rows, as runs of neighbours. out = 6 rows of starts.size() numbers: first and
// last chunk and first and last byte of every run; and the ranges again, counted from the first row of the runs'
// chunks. Returns the runs, their chunks, the rows in these, and the rows in the ranges.
inline std::tuple<int64_t, int64_t, int64_t, int64_t> miniblock_plan(PageTables page, std::span<const int64_t> starts,
                                                                     std::span<const int64_t> stops,
                                                                     std::span<int64_t> out) {
  require(page.numbers.size() % PageTables::num_rows == 0, "miniblock_plan: six numbers a chunk");
  const size_t num_chunks = page.num_chunks();
  const size_t num_ranges = starts.size();
  const auto started = page.row(PageTables::started);
  const auto finished = page.row(PageTables::finished);
  const auto chunk_stops = page.row(PageTables::stops);
  require(stops.size() == num_ranges && num_ranges > 0 && out.size() == 6 * num_ranges,
          "miniblock_plan: one stop and six numbers out a start");
  const auto row = [&](size_t i) { return out.subspan(i * num_ranges, num_ranges); };
  const auto chunk_of = [&](std::span<const int64_t> ends, size_t from, int64_t wanted) {
    const auto first = ends.begin() + static_cast<std::ptrdiff_t>(from);
    return static_cast<size_t>(std::upper_bound(first, ends.end(), wanted) - ends.begin());
  };
  size_t num_runs = 0;
  size_t first = 0;
  size_t last = 0;
  int64_t previous = 0;
  int64_t wanted = 0;
  int64_t num_selected = 0;
  int64_t before = 0;   // rows in the chunks of earlier runs
  int64_t skipped = 0;  // rows before the first one of this run
  const auto close_run = [&] {
    row(0)[num_runs - 1] = static_cast<int64_t>(first);
    row(1)[num_runs - 1] = static_cast<int64_t>(last);
    row(2)[num_runs - 1] = first > 0 ? chunk_stops[first - 1] : 0;
    row(3)[num_runs - 1] = chunk_stops[last];
    before += started[last] - skipped;
    num_selected += static_cast<int64_t>(last - first + 1);
  };
  for (size_t i = 0; i < num_ranges; ++i) {
    require(starts[i] >= previous && stops[i] > starts[i], "miniblock_plan: the ranges are not sorted and disjoint");
    previous = stops[i];
    wanted += stops[i] - starts[i];
    const size_t from = chunk_of(started, i == 0 ? 0 : first, starts[i]);
    const size_t to = chunk_of(finished, std::min(from, num_chunks), stops[i] - 1);
    require(to < num_chunks, "miniblock_plan: a row that the page does not have");
    if (i == 0 || from > last + 1) {
      if (i > 0) close_run();
      ++num_runs;
      first = from;
      skipped = first > 0 ? finished[first - 1] : 0;
    }
    last = to;
    row(4)[i] = starts[i] - skipped + before;
    row(5)[i] = stops[i] - skipped + before;
  }
  close_run();
  return {static_cast<int64_t>(num_runs), num_selected, before, wanted};
}

struct ChunkShape {
  bool has_rep;
  bool has_def;
  size_t num_buffers;
  bool large;

  size_t num_parts() const { return size_t{has_rep} + size_t{has_def} + num_buffers; }
  size_t size_bytes() const { return large ? 4 : 2; }
  size_t header_bytes() const { return 2 + 2 * (size_t{has_rep} + size_t{has_def}) + size_bytes() * num_buffers; }
};

// Chunks lie back to back. Part p of chunk i: offsets[p * num_chunks + i], sizes[...]; parts are rep, def, buffers.
inline void miniblock_headers(Bytes data, std::span<const int64_t> chunk_sizes, std::span<const int64_t> slots,
                              ChunkShape shape, std::span<int64_t> entries, std::span<int64_t> offsets,
                              std::span<int64_t> sizes) {
  const size_t num_chunks = chunk_sizes.size();
  const size_t num_parts = shape.num_parts();
  require(slots.size() == num_chunks && entries.size() == num_chunks && offsets.size() == num_parts * num_chunks &&
              sizes.size() == offsets.size(),
          "miniblock_headers: one number of slots and entries a chunk, one offset and size a part");
  const size_t num_levels_parts = num_parts - shape.num_buffers;
  size_t start = 0;
  for (size_t i = 0; i < num_chunks; ++i) {
    const Bytes chunk = checked_slice(data, static_cast<int64_t>(start), chunk_sizes[i]);
    check_data(shape.header_bytes() <= chunk.size(), "the header of a chunk is larger than the chunk");
    const int64_t num_levels = load<uint16_t>(chunk.data());
    if (num_levels_parts == 0)
      check_data(num_levels == 0, "a chunk has levels and its page has none");
    else if (shape.has_rep && shape.has_def)
      check_data(num_levels >= slots[i], "a chunk has fewer levels than slots");
    else
      check_data(num_levels == slots[i], "a chunk has another number of levels than slots");
    entries[i] = num_levels;
    const uint8_t* field = chunk.data() + 2;
    uint64_t position = detail::aligned(shape.header_bytes());
    for (size_t p = 0; p < num_parts; ++p) {
      const bool wide = shape.large && p >= num_levels_parts;
      const uint64_t size = wide ? load<uint32_t>(field) : load<uint16_t>(field);
      field += wide ? 4 : 2;
      check_data(position <= chunk.size() && size <= chunk.size() - position, "a part of a chunk runs past its end");
      offsets[p * num_chunks + i] = static_cast<int64_t>(start + position);
      sizes[p * num_chunks + i] = static_cast<int64_t>(size);
      position += detail::aligned(size);
    }
    check_data(position == chunk.size(), "the parts of a chunk do not fill it");
    start += chunk.size();
  }
  check_data(start == data.size(), "the chunks do not fill their bytes");
}

// Checks definition levels against their bounds and against the slots of each chunk.
inline void miniblock_check_def(std::span<const uint16_t> def, std::span<const int64_t> entries,
                                std::span<const int64_t> slots, int max_def, int max_visible) {
  require(entries.size() == slots.size(), "miniblock_check_def: one number of slots a chunk");
  const auto bound = static_cast<uint16_t>(max_visible);
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto part = detail::take(def, entries[i]);
    require(part.size() <= detail::most_entries_of_a_chunk, "a chunk has at most 65535 entries");
    uint16_t largest = 0;
    uint16_t visible = 0;
    for (const uint16_t level : part) {
      largest = std::max(largest, level);
      visible = static_cast<uint16_t>(visible + (level <= bound));
    }
    check_data(largest <= max_def, "a definition level is larger than the layers allow");
    check_data(visible == slots[i], "the definition levels of a chunk do not give as many slots as it has");
  }
  require(def.empty(), "the entries do not add up to the levels");
}

// How a chunk begins, in the fourth row that miniblock_select gives.
enum class ChunkBegin : int64_t { with_row = 0, inside_row = 1, run_inside_row = 2 };

// Checks repetition levels against their bound and against the rows that the index announces for each chunk. Where a
// run begins inside of a row, the levels then let a row begin.
inline void miniblock_check_rep(std::span<uint16_t> rep, std::span<const int64_t> entries,
                                std::span<const int64_t> rows, std::span<const int64_t> begins,
                                std::span<const int64_t> leftovers, int max_rep) {
  require(entries.size() == rows.size() && entries.size() == begins.size() && entries.size() == leftovers.size(),
          "miniblock_check_rep: four numbers a chunk");
  const auto top = static_cast<uint16_t>(max_rep);
  std::span<const uint16_t> left = rep;
  for (size_t i = 0; i < rows.size(); ++i) {
    const size_t first = rep.size() - left.size();
    const auto part = detail::take(left, entries[i]);
    require(part.size() <= detail::most_entries_of_a_chunk, "a chunk has at most 65535 entries");
    uint16_t largest = 0;
    uint16_t starts = 0;
    for (const uint16_t level : part) {
      largest = std::max(largest, level);
      starts = static_cast<uint16_t>(starts + (level == top));
    }
    check_data(largest <= max_rep, "a repetition level is larger than the number of lists");
    check_data(!part.empty() && (part.front() == top) == (begins[i] == static_cast<int64_t>(ChunkBegin::with_row)),
               "a chunk begins with a row where the repetition index has none, or the reverse");
    check_data(starts == rows[i], "a chunk has another number of rows than the index states");
    check_data(static_cast<uint64_t>(leftovers[i]) <= part.size(), "a row continues with more entries than there are");
    if (begins[i] == static_cast<int64_t>(ChunkBegin::run_inside_row)) rep[first] = top;
  }
  require(left.empty(), "the entries do not add up to the levels");
}

// What is known of the chunks of runs, in order. out = 5 rows of numbers, one a chunk: bytes, slots, rows that start in
// it, how it begins, leftover. Without lists there are no leftovers, and no row goes on in another chunk.
inline void miniblock_select(std::span<const int64_t> chunk_sizes, std::span<const int64_t> slots,
                             std::span<const int64_t> started, std::span<const int64_t> finished,
                             std::span<const int64_t> leftovers, std::span<const int64_t> firsts,
                             std::span<const int64_t> lasts, std::span<int64_t> out) {
  const size_t num_chunks = chunk_sizes.size();
  require(slots.size() == num_chunks && started.size() == num_chunks && finished.size() == num_chunks &&
              (leftovers.empty() || leftovers.size() == num_chunks),
          "miniblock_select: five numbers a chunk");
  require(firsts.size() == lasts.size() && out.size() % 5 == 0, "miniblock_select: one last chunk a first one");
  const size_t num_selected = out.size() / 5;
  const auto row = [&](size_t i) { return out.subspan(i * num_selected, num_selected); };
  size_t at = 0;
  for (size_t run = 0; run < firsts.size(); ++run) {
    require(firsts[run] >= 0 && firsts[run] <= lasts[run] && static_cast<uint64_t>(lasts[run]) < num_chunks,
            "miniblock_select: no such chunk");
    const auto first = static_cast<size_t>(firsts[run]);
    const size_t stop = static_cast<size_t>(lasts[run]) + 1;
    require(stop - first <= num_selected - at, "miniblock_select: out has not five numbers a chunk");
    for (size_t chunk = first; chunk < stop; ++chunk, ++at) {
      const int64_t before = chunk > 0 ? started[chunk - 1] : 0;
      const bool inside = chunk > 0 && before > finished[chunk - 1];
      row(0)[at] = chunk_sizes[chunk];
      row(1)[at] = slots[chunk];
      row(2)[at] = started[chunk] - before;
      row(3)[at] = static_cast<int64_t>(!inside          ? ChunkBegin::with_row
                                        : chunk == first ? ChunkBegin::run_inside_row
                                                         : ChunkBegin::inside_row);
      row(4)[at] = leftovers.empty() ? 0 : leftovers[chunk];
    }
  }
  require(at == num_selected, "miniblock_select: out has not five numbers a chunk");
}

}  // namespace lancelet
