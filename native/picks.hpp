// Chosen values of blocks and of chunks, and the entries and slots of chosen rows. What is chosen are ranges: sorted,
// disjoint, possibly empty.
#pragma once

#include <algorithm>

#include "bitpack.hpp"
#include "flat.hpp"
#include "levels.hpp"
#include "offsets.hpp"
#include "runs.hpp"
#include "span.hpp"
#include "varwidth.hpp"

namespace lancelet {

// The ranges; those of a chunk are visited once, chunk after chunk.
class Picks {
 public:
  Picks(std::span<const int64_t> starts, std::span<const int64_t> stops) : starts_(starts), stops_(stops) {
    require(starts.size() == stops.size(), "picks: one stop a start");
    int64_t previous = 0;
    bool sorted = true;
    for (size_t i = 0; i < starts.size(); ++i) {
      sorted &= starts[i] >= previous && stops[i] >= starts[i];
      previous = std::max(previous, stops[i]);
      num_values_ += stops[i] - starts[i];
    }
    require(sorted, "picks: the ranges are not sorted and disjoint");
  }

  size_t size() const { return starts_.size(); }
  size_t start(size_t i) const { return static_cast<size_t>(starts_[i]); }
  size_t stop(size_t i) const { return static_cast<size_t>(stops_[i]); }
  size_t num_values() const { return static_cast<size_t>(num_values_); }

  void require_within(size_t num_values) const {
    require(starts_.empty() || stop(size() - 1) <= num_values, "picks: a range reaches past the values");
  }

  // Calls `part(first, last)`, counted from the start of the next chunk, for what is chosen of its `count` values.
  template <class Part>
  void next_chunk(int64_t count, Part part) {
    const int64_t end = base_ + count;
    for (; next_ < size() && starts_[next_] < end; ++next_) {
      const int64_t first = std::max(starts_[next_], base_);
      const int64_t last = std::min(stops_[next_], end);
      if (first < last) part(static_cast<size_t>(first - base_), static_cast<size_t>(last - base_));
      if (stops_[next_] > end) break;
    }
    base_ = end;
  }

  // How many values of the next chunk are chosen.
  size_t in_next_chunk(int64_t count) const {
    const int64_t end = base_ + count;
    int64_t total = 0;
    for (size_t i = next_; i < size() && starts_[i] < end; ++i)
      total += std::max(std::min(stops_[i], end) - std::max(starts_[i], base_), int64_t{0});
    return static_cast<size_t>(total);
  }

  void require_done() const {
    require(starts_.empty() || stops_.back() <= base_, "picks: a range reaches past the chunks");
  }

 private:
  std::span<const int64_t> starts_;
  std::span<const int64_t> stops_;
  int64_t num_values_ = 0;
  int64_t base_ = 0;
  size_t next_ = 0;
};

// ---- blocks

// Moves values of a width that is known to the compiler where it is a common one.
template <class Action>
auto with_value_bytes(size_t value_bytes, Action action) {
  switch (value_bytes) {
    case 1: return action(std::integral_constant<size_t, 1>());
    case 2: return action(std::integral_constant<size_t, 2>());
    case 4: return action(std::integral_constant<size_t, 4>());
    case 8: return action(std::integral_constant<size_t, 8>());
    default: return action(value_bytes);
  }
}

inline void pick_bits(Bytes data, const Picks& picks, MutableBytes out) {
  BitWriter bits(out);
  for (size_t i = 0; i < picks.size(); ++i)
    for (size_t k = picks.start(i); k < picks.stop(i); ++k) bits.put((data[k / 8] >> (k % 8) & 1) != 0);
  bits.finish();
}

inline void pick_fixed(Bytes data, int64_t bits, std::span<const int64_t> starts, std::span<const int64_t> stops,
                       MutableBytes out) {
  const Picks picks(starts, stops);
  if (bits == 1) {
    picks.require_within(data.size() * 8);
    require(out.size() == bitmap_bytes(picks.num_values()), "pick_fixed: out has another size than the values");
    return pick_bits(data, picks, out);
  }
  require(bits > 0 && bits % 8 == 0, "bits must be 1 or a multiple of 8");
  const auto width = static_cast<size_t>(bits / 8);
  picks.require_within(data.size() / width);
  require(out.size() % width == 0 && out.size() / width == picks.num_values(),
          "pick_fixed: out has another size than the values");
  with_value_bytes(width, [&](auto value_bytes) {
    uint8_t* to = out.data();
    for (size_t i = 0; i < picks.size(); ++i) {
      const size_t count = picks.stop(i) - picks.start(i);
      const uint8_t* from = data.data() + picks.start(i) * value_bytes;
      if (count == 1)
        std::memcpy(to, from, value_bytes);
      else
        copy_bytes(to, from, count * value_bytes);
      to += count * value_bytes;
    }
  });
}

template <class Offset>
int64_t pick_variable_offsets(Bytes raw_offsets, std::span<const int64_t> starts, std::span<const int64_t> stops,
                              MutableBytes raw_out_offsets) {
  const Picks picks(starts, stops);
  const Offsets<Offset> offsets(raw_offsets);
  picks.require_within(offsets.num_values());
  const OffsetsOut<Offset> out_offsets(raw_out_offsets, picks.num_values());
  uint64_t total = 0;
  size_t at = 0;
  for (size_t i = 0; i < picks.size(); ++i) {
    for (size_t k = picks.start(i); k < picks.stop(i); ++k) {
      check_data(offsets[k] <= offsets[k + 1], "the offsets of values decrease");
      out_offsets.set(at++, total);
      total += offsets[k + 1] - offsets[k];
      check_data(total <= max_total<Offset>, "the values together are too long for their offsets");
    }
  }
  out_offsets.set(at, total);
  return static_cast<int64_t>(total);
}

template <class Offset>
void pick_variable(Bytes data, Bytes raw_offsets, std::span<const int64_t> starts, std::span<const int64_t> stops,
                   MutableBytes out) {
  const Picks picks(starts, stops);
  const Offsets<Offset> offsets(raw_offsets);
  picks.require_within(offsets.num_values());
  size_t at = 0;
  for (size_t i = 0; i < picks.size(); ++i) {
    const uint64_t first = offsets[picks.start(i)];
    const uint64_t last = offsets[picks.stop(i)];
    check_data(first <= last && last <= data.size(), "the offsets of values reach past the data");
    require(last - first <= out.size() - at, "pick_variable: out has another size than the values");
    copy_bytes(out.data() + at, data.data() + first, last - first);
    at += last - first;
  }
  require(at == out.size(), "pick_variable: out has another size than the values");
}

// ---- chunks

inline void require_parts(std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                          std::span<const int64_t> counts) {
  require(offsets.size() == counts.size() && sizes.size() == counts.size(),
          "offsets, sizes and counts differ in length");
}

inline void flat_pick(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                      std::span<const int64_t> counts, int64_t bits, std::span<const int64_t> starts,
                      std::span<const int64_t> stops, MutableBytes out) {
  require(bits > 0 && bits % 8 == 0, "bits must be a multiple of 8");
  require_parts(offsets, sizes, counts);
  Picks picks(starts, stops);
  const auto width = static_cast<size_t>(bits / 8);
  require(out.size() % width == 0 && out.size() / width == picks.num_values(),
          "flat_pick: out has another size than the values");
  with_value_bytes(width, [&](auto value_bytes) {
    uint8_t* to = out.data();
    for (size_t i = 0; i < counts.size(); ++i) {
      const Bytes part = checked_slice(data, offsets[i], sizes[i]);
      check_data(counts[i] >= 0 && part.size() % width == 0 && part.size() / width == static_cast<uint64_t>(counts[i]),
                 "the size of a flat buffer does not fit its number of values");
      picks.next_chunk(counts[i], [&](size_t first, size_t last) {
        const uint8_t* from = part.data() + first * value_bytes;
        if (last - first == 1)
          std::memcpy(to, from, value_bytes);
        else
          std::memcpy(to, from, (last - first) * value_bytes);
        to += (last - first) * value_bytes;
      });
    }
  });
  picks.require_done();
}

// One value of a packed block. Rows and lanes as in unpack_block.
template <class T>
T unpack_one(const uint8_t* packed, unsigned width, size_t index) {
  constexpr unsigned bits = 8 * sizeof(T);
  constexpr size_t lanes = block_values / bits;
  constexpr size_t order[8] = {0, 4, 2, 6, 1, 5, 3, 7};  // its own inverse
  if (width == 0) return 0;
  const size_t group = index % 128 / lanes * (lanes / 16);
  const auto row = static_cast<unsigned>(order[group] * 8 + index / 128);
  const PackedRow place(row, bits, width);
  const uint8_t* word = packed + place.offset + index % lanes * sizeof(T);
  const unsigned kept = bits - place.shift;
  auto value = static_cast<uint64_t>(load<T>(word)) >> place.shift;
  if (kept < width) value |= static_cast<uint64_t>(load<T>(word + row_bytes)) << kept;
  return static_cast<T>(value & low_bits(width));
}

// From this many chosen values of a block on it is faster to unpack all of them.
inline constexpr size_t few_values = 48;

template <class T>
void inline_pick(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                 std::span<const int64_t> counts, std::span<const int64_t> starts, std::span<const int64_t> stops,
                 MutableBytes out) {
  constexpr unsigned bits = 8 * sizeof(T);
  require_parts(offsets, sizes, counts);
  Picks picks(starts, stops);
  require(out.size() / sizeof(T) == picks.num_values() && out.size() % sizeof(T) == 0,
          "inline_pick: out has another size than the values");
  alignas(64) uint8_t scratch[block_values * sizeof(T)];
  uint8_t* to = out.data();
  for (size_t i = 0; i < counts.size(); ++i) {
    const InlineBlock block(checked_slice(data, offsets[i], sizes[i]), counts[i], bits);
    const size_t wanted = picks.in_next_chunk(counts[i]);
    if (wanted == block_values) {
      unpack_block(block.packed, bits, block.width, to);
      picks.next_chunk(counts[i], [](size_t, size_t) {});
      to += sizeof(scratch);
    } else if (wanted < few_values) {
      picks.next_chunk(counts[i], [&](size_t first, size_t last) {
        for (size_t k = first; k < last; ++k, to += sizeof(T)) store(to, unpack_one<T>(block.packed, block.width, k));
      });
    } else {
      unpack_block(block.packed, bits, block.width, scratch);
      picks.next_chunk(counts[i], [&](size_t first, size_t last) {
        std::memcpy(to, scratch + first * sizeof(T), (last - first) * sizeof(T));
        to += (last - first) * sizeof(T);
      });
    }
  }
  picks.require_done();
}

template <class T>
void bss_pick(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
              std::span<const int64_t> counts, std::span<const int64_t> starts, std::span<const int64_t> stops,
              MutableBytes out) {
  require_parts(offsets, sizes, counts);
  Picks picks(starts, stops);
  require(out.size() / sizeof(T) == picks.num_values() && out.size() % sizeof(T) == 0,
          "bss_pick: out has another size than the values");
  uint8_t* to = out.data();
  for (size_t i = 0; i < counts.size(); ++i) {
    const Bytes part = checked_slice(data, offsets[i], sizes[i]);
    check_data(
        counts[i] >= 0 && part.size() % sizeof(T) == 0 && part.size() / sizeof(T) == static_cast<uint64_t>(counts[i]),
        "the size of a byte-stream-split buffer does not fit its number of values");
    const auto count = static_cast<size_t>(counts[i]);
    picks.next_chunk(counts[i], [&](size_t first, size_t last) {
      for (size_t k = first; k < last; ++k, to += sizeof(T))
        for (size_t j = 0; j < sizeof(T); ++j) to[j] = part[j * count + k];
    });
  }
  picks.require_done();
}

// Checks all offsets of a part, as a decoder of all values does.
template <class Offset>
void require_sorted(const detail::VariablePart<Offset>& part, size_t count) {
  bool sorted = true;
  for (size_t k = 0; k < count; ++k) sorted &= item<Offset>(part.offsets, k) <= item<Offset>(part.offsets, k + 1);
  check_data(sorted, "the offsets of variable-width values decrease");
}

template <class Offset>
int64_t variable_pick_offsets(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                              std::span<const int64_t> counts, std::span<const int64_t> starts,
                              std::span<const int64_t> stops, MutableBytes out) {
  require_parts(offsets, sizes, counts);
  Picks picks(starts, stops);
  const OffsetsOut<Offset> out_offsets(out, picks.num_values());
  uint64_t total = 0;
  size_t at = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const detail::VariablePart<Offset> part(checked_slice(data, offsets[i], sizes[i]), counts[i], {false});
    require_sorted(part, static_cast<size_t>(counts[i]));
    picks.next_chunk(counts[i], [&](size_t first, size_t last) {
      for (size_t k = first; k < last; ++k) {
        out_offsets.set(at++, total);
        total += item<Offset>(part.offsets, k + 1) - item<Offset>(part.offsets, k);
        check_data(total <= max_total<Offset>, "the values together are too long for their offsets");
      }
    });
  }
  picks.require_done();
  out_offsets.set(at, total);
  return static_cast<int64_t>(total);
}

template <class Offset>
void variable_pick(Bytes data, std::span<const int64_t> offsets, std::span<const int64_t> sizes,
                   std::span<const int64_t> counts, std::span<const int64_t> starts, std::span<const int64_t> stops,
                   MutableBytes out) {
  require_parts(offsets, sizes, counts);
  Picks picks(starts, stops);
  size_t at = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const detail::VariablePart<Offset> part(checked_slice(data, offsets[i], sizes[i]), counts[i], {false});
    picks.next_chunk(counts[i], [&](size_t first, size_t last) {
      const Offset begin = item<Offset>(part.offsets, first);
      const Offset end = item<Offset>(part.offsets, last);
      check_data(part.base <= begin && begin <= end && static_cast<size_t>(end - part.base) <= part.values.size(),
                 "the offsets of variable-width values decrease");
      require(end - begin <= out.size() - at, "variable_pick: out has another size than the values");
      copy_bytes(out.data() + at, part.values.data() + (begin - part.base), end - begin);
      at += end - begin;
    });
  }
  picks.require_done();
  require(at == out.size(), "variable_pick: out has another size than the values");
}

// ---- rows

// Walks over entries to the starts of rows, and counts the slots before them.
class RowWalker {
 public:
  RowWalker(Levels rep, Levels def, uint16_t top, uint16_t visible)
      : rep_(rep), def_(def), top_(top), visible_(visible) {}

  // Goes to where row `row` starts, or to the end when there are just so many rows; `row` never decreases.
  void go_to(size_t row) {
    constexpr size_t step = 64;
    while (rep_.size() - entry_ >= step) {
      const size_t num_starts = starts_in(entry_, step);
      if (row_ + num_starts > row) break;
      row_ += num_starts;
      slot_ += slots_in(entry_, step);
      entry_ += step;
    }
    for (; entry_ < rep_.size(); ++entry_) {
      if (rep_[entry_] == top_) {
        if (row_ == row) return;
        ++row_;
      }
      slot_ += def_.empty() || def_[entry_] <= visible_;
    }
    require(row_ == row, "select_rows: a row that does not exist");
  }

  int64_t entry() const { return static_cast<int64_t>(entry_); }
  int64_t slot() const { return static_cast<int64_t>(slot_); }

 private:
  size_t starts_in(size_t first, size_t count) const {
    uint16_t total = 0;
    for (size_t i = first; i < first + count; ++i) total = static_cast<uint16_t>(total + (rep_[i] == top_));
    return total;
  }

  size_t slots_in(size_t first, size_t count) const {
    if (def_.empty()) return count;
    uint16_t total = 0;
    for (size_t i = first; i < first + count; ++i) total = static_cast<uint16_t>(total + (def_[i] <= visible_));
    return total;
  }

  Levels rep_;
  Levels def_;
  uint16_t top_;
  uint16_t visible_;
  size_t entry_ = 0;
  size_t row_ = 0;
  size_t slot_ = 0;
};

// out = entry starts, entry stops, slot starts, slot stops of the ranges of rows.
inline void select_rows(Levels rep, Levels def, int64_t max_rep, int64_t max_visible, std::span<const int64_t> starts,
                        std::span<const int64_t> stops, std::span<int64_t> out) {
  const Picks rows(starts, stops);
  const size_t num_ranges = rows.size();
  require(def.empty() || def.size() == rep.size(), "there must be as many rep as def levels");
  require(out.size() == 4 * num_ranges, "select_rows: four numbers a range");
  RowWalker walker(rep, def, as_level(max_rep), as_level(max_visible));
  for (size_t i = 0; i < num_ranges; ++i) {
    walker.go_to(rows.start(i));
    out[i] = walker.entry();
    out[2 * num_ranges + i] = walker.slot();
    walker.go_to(rows.stop(i));
    out[num_ranges + i] = walker.entry();
    out[3 * num_ranges + i] = walker.slot();
  }
}

}  // namespace lancelet
