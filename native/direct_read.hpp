// One read of some flat columns: rows to pages to chunks to Arrow buffers. See direct.hpp.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "direct.hpp"
#include "ranges.hpp"

namespace lancelet::direct {

// Sorted, disjoint, non-empty half-open ranges of rows.
struct RowRanges {
  std::span<const int64_t> starts;
  std::span<const int64_t> stops;

  size_t size() const { return starts.size(); }
  void check() const {
    require(starts.size() == stops.size() && !starts.empty(), "direct: ranges of rows are needed");
    int64_t before = 0;
    for (size_t i = 0; i < size(); ++i) {
      require(starts[i] >= before && stops[i] > starts[i], "direct: the ranges of rows are not in order");
      before = stops[i];
    }
  }
  int64_t num_rows() const {
    int64_t total = 0;
    for (size_t i = 0; i < size(); ++i) total += stops[i] - starts[i];
    return total;
  }
};

// A column and those of its pages that are open. Only the thread that holds the interpreter's lock looks here; a read
// keeps the pages that it works on.
class Column {
 public:
  Column(std::span<const int64_t> first_rows, bool is_variable, unsigned bits)
      : is_variable_(is_variable), bits_(bits), first_rows_(first_rows.begin(), first_rows.end()) {
    require(first_rows_.size() >= 2 && first_rows_.front() == 0, "direct: pages begin with row 0");
    require(std::is_sorted(first_rows_.begin(), first_rows_.end()), "direct: the pages are not in order");
    require(is_variable ? bits == 32 || bits == 64 : bits == 1 || (bits != 0 && bits % 8 == 0),
            "direct: values or offsets of this width are not read");
    pages_.resize(first_rows_.size() - 1);
  }

  bool is_variable() const { return is_variable_; }
  unsigned bits() const { return bits_; }
  int64_t num_rows() const { return first_rows_.back(); }
  size_t num_pages() const { return pages_.size(); }
  int64_t first_row(size_t page) const { return first_rows_[page]; }
  const std::shared_ptr<const Page>& page(size_t index) const { return pages_[index]; }

  void set_page(size_t index, std::shared_ptr<const Page> page) {
    require(index < pages_.size(), "direct: no such page");
    const PageForm& form = page->form();
    const bool has_lengths = form.values == ValueForm::variable || form.values == ValueForm::symbols;
    if (page->items() != nullptr) {
      require(!has_lengths && page->items()->is_variable() == is_variable_,
              "direct: a page has another kind of values than its column");
      require_word_bits(form.bits);
    } else {
      require(has_lengths == is_variable_ && form.bits == bits_, "direct: a page has other values than its column");
    }
    pages_[index] = std::move(page);
  }

  void forget_pages() { std::fill(pages_.begin(), pages_.end(), nullptr); }

  size_t page_of(int64_t row) const {
    return static_cast<size_t>(std::upper_bound(first_rows_.begin(), first_rows_.end(), row) - first_rows_.begin()) - 1;
  }

 private:
  bool is_variable_;
  unsigned bits_;
  std::vector<int64_t> first_rows_;
  std::vector<std::shared_ptr<const Page>> pages_;
};

// The pages of a column from `first` on that a read needs; those between them are empty.
struct Pages {
  size_t first = 0;
  std::vector<std::shared_ptr<const Page>> pages;

  const Page* operator[](size_t index) const { return pages[index - first].get(); }
};

// Where a column's part of the result goes, and what was found on the way.
class Output {
 public:
  Output(const Column& column, size_t num_rows, MutableBytes validity, MutableBytes values)
      : column_(&column), num_rows_(num_rows), validity_(validity), values_(values) {
    require(validity.empty() || validity.size() >= bitmap_bytes(num_rows), "direct: the bitmap is too small");
    require(values.size() >= needed_bytes(column, num_rows), "direct: the output is too small");
    values_ = values_.first(needed_bytes(column, num_rows));
    if (column.is_variable()) set_offset(0);
  }

  // Most bytes that are told apart: nobody has so many, and sums of some still fit.
  static constexpr size_t too_many_bytes = size_t{1} << 56;

  // Bytes of values, or of offsets. Wide items of a small dictionary may be wanted more often than 64 bits can count.
  static size_t needed_bytes(const Column& column, size_t num_rows) {
    if (!column.is_variable() && column.bits() == 1) return bitmap_bytes(num_rows);
    const size_t width = column.bits() / 8, count = column.is_variable() ? num_rows + 1 : num_rows;
    return count > too_many_bytes / width ? too_many_bytes : count * width;
  }

  int64_t null_count() const { return null_count_; }
  uint64_t data_bytes() const { return data_bytes_; }

  // Appends `count` slots of a chunk from slot `first` on.
  void append(Chunk& chunk, size_t first, size_t count) {
    const Page& page = chunk.page();
    const uint16_t* levels = nullptr;
    if (chunk.has_levels()) {
      levels = chunk.levels() + first;
      append_validity(levels, count);
    } else {
      append_valid(count);
    }
    if (page.items() != nullptr) {
      append_indexed(chunk, levels, first, count);
    } else if (column_->is_variable()) {
      append_variable(chunk, first, count);
    } else {
      append_fixed(chunk, first, count);
    }
    written_ += count;
  }

  void finish() const { require(written_ == num_rows_, "direct: the pages do not hold the rows"); }

  // Writes the bytes of variable-width values; true when all that come from no dictionary are ASCII.
  bool copy(MutableBytes out) const {
    require(out.size() == data_bytes_, "direct: the data has another size");
    uint8_t* to = out.data();
    size_t next_pick = 0;
    bool ascii = true;
    for (const Segment& segment : segments_) {
      if (segment.from == nullptr) {
        copy_items(*segment.page->items(), std::span(picks_).subspan(next_pick, segment.size), to,
                   out.data() + out.size());
        next_pick += segment.size;
      } else if (segment.page->symbols() != nullptr && segment.page->symbols()->table.compressed) {
        fsst_decode_stream(segment.page->symbols()->table, {segment.from, segment.size}, {to, segment.decoded});
      } else {
        copy_bytes(to, segment.from, segment.size);
      }
      ascii &= segment.from == nullptr || is_ascii({to, segment.decoded});
      to += segment.decoded;
    }
    return ascii;
  }

 private:
  // Bytes that lie together in the file; without `from`, the next `size` picks.
  struct Segment {
    const Page* page;
    const uint8_t* from;
    size_t size;
    size_t decoded;
  };

  void append_validity(const uint16_t* levels, size_t count) {
    require(!validity_.empty(), "direct: a column with nulls needs a bitmap");
    std::array<uint8_t, 512> bits;
    for (size_t start = 0; start < count; start += bits.size() * 8) {
      const size_t part = std::min(bits.size() * 8, count - start);
      size_t num_valid = 0;
      for (size_t i = 0; i < part; i += 8) {
        unsigned byte = 0;
        const size_t stop = std::min<size_t>(8, part - i);
        for (size_t k = 0; k < stop; ++k) byte |= static_cast<unsigned>(levels[start + i + k] == 0) << k;
        bits[i / 8] = static_cast<uint8_t>(byte);
        num_valid += static_cast<size_t>(std::popcount(byte));
      }
      append_bits(bits.data(), part, validity_.data(), written_ + start);
      null_count_ += static_cast<int64_t>(part - num_valid);
    }
  }

  void append_valid(size_t count) {
    if (validity_.empty()) return;
    std::array<uint8_t, 512> ones;
    ones.fill(0xFF);
    for (size_t start = 0; start < count; start += ones.size() * 8)
      append_bits(ones.data(), std::min(ones.size() * 8, count - start), validity_.data(), written_ + start);
  }

  void append_fixed(Chunk& chunk, size_t first, size_t count) {
    const size_t bits = column_->bits();
    if (bits == 1) {
      const uint8_t* from = chunk.flat_values();
      std::array<uint8_t, 512> part;
      if (first % 8 == 0) return append_bits(from + first / 8, count, values_.data(), written_);
      for (size_t start = 0; start < count; start += part.size() * 8) {
        const size_t size = std::min(part.size() * 8, count - start);
        extract_bits(from, first + start, size, part.data());
        append_bits(part.data(), size, values_.data(), written_ + start);
      }
      return;
    }
    const size_t width = bits / 8;
    const MutableBytes out = values_.subspan(written_ * width);
    if (chunk.page().form().values == ValueForm::flat) {
      copy_bytes(out.data(), chunk.flat_values() + first * width, count * width);
    } else if (count == chunk.num_slots()) {
      chunk.decode_values(out);
    } else {
      copy_bytes(out.data(), chunk.values() + first * width, count * width);
    }
  }

  void append_indexed(Chunk& chunk, const uint16_t* levels, size_t first, size_t count) {
    const unsigned bits = chunk.page().form().bits;
    const uint8_t* indices = chunk.values() + first * (bits / 8);
    switch (bits) {
      case 8: return look_up<uint8_t>(chunk.page(), indices, levels, count);
      case 16: return look_up<uint16_t>(chunk.page(), indices, levels, count);
      case 32: return look_up<uint32_t>(chunk.page(), indices, levels, count);
      case 64: return look_up<uint64_t>(chunk.page(), indices, levels, count);
      default: throw BadArgument("direct: indices of this width");
    }
  }

  template <class Index>
  void look_up(const Page& page, const uint8_t* raw, const uint16_t* levels, size_t count) {
    const Items& items = *page.items();
    const size_t num_items = items.count();
    const size_t start = picks_.size();
    if (!column_->is_variable()) picks_.clear();
    const size_t base = column_->is_variable() ? start : 0;
    picks_.resize(base + count);
    uint32_t* picks = picks_.data() + base;
    bool outside = false;
    if (levels == nullptr) {
      for (size_t i = 0; i < count; ++i) {
        const Index index = load<Index>(raw + i * sizeof(Index));
        outside |= index >= num_items;
        picks[i] = static_cast<uint32_t>(index);
      }
    } else {
      for (size_t i = 0; i < count; ++i) {
        const Index index = load<Index>(raw + i * sizeof(Index));
        outside |= levels[i] == 0 && index >= num_items;
        picks[i] = levels[i] == 0 ? static_cast<uint32_t>(index) : static_cast<uint32_t>(num_items);
      }
    }
    check_data(!outside, "an index lies outside of its dictionary");
    if (column_->is_variable())
      append_item_lengths(page, {picks, count});
    else
      gather_fixed_items(items, {picks, count});
  }

  void gather_fixed_items(const Items& items, std::span<const uint32_t> picks) {
    const size_t width = column_->bits() / 8;
    uint8_t* to = values_.data() + written_ * width;
    const uint8_t* from = items.data();
    switch (width) {
      case 4:
        for (size_t i = 0; i < picks.size(); ++i) store(to + i * 4, load<uint32_t>(from + size_t{picks[i]} * 4));
        break;
      case 8:
        for (size_t i = 0; i < picks.size(); ++i) store(to + i * 8, load<uint64_t>(from + size_t{picks[i]} * 8));
        break;
      default:
        for (size_t i = 0; i < picks.size(); ++i) std::memcpy(to + i * width, from + picks[i] * width, width);
    }
  }

  void append_item_lengths(const Page& page, std::span<const uint32_t> picks) {
    const uint64_t* offsets = page.items()->offsets();
    const uint64_t before = data_bytes_;
    with_offsets(static_cast<int>(column_->bits()), [&]<class Offset>(Offset) {
      uint8_t* to = values_.data() + (written_ + 1) * sizeof(Offset);
      uint64_t total = data_bytes_;
      for (size_t i = 0; i < picks.size(); ++i) {
        total += offsets[picks[i] + 1] - offsets[picks[i]];
        store(to + i * sizeof(Offset), static_cast<Offset>(total));
      }
      data_bytes_ = total;
    });
    check_total();
    if (!segments_.empty() && segments_.back().from == nullptr && segments_.back().page == &page) {
      segments_.back().size += picks.size();
      segments_.back().decoded += static_cast<size_t>(data_bytes_ - before);
    } else {
      segments_.push_back({&page, nullptr, picks.size(), static_cast<size_t>(data_bytes_ - before)});
    }
  }

  void append_variable(Chunk& chunk, size_t first, size_t count) {
    with_offsets(static_cast<int>(column_->bits()),
                 [&]<class Offset>(Offset) { append_values<Offset>(chunk, first, count); });
  }

  template <class Offset>
  void append_values(Chunk& chunk, size_t first, size_t count) {
    const Page& page = chunk.page();
    const Bytes part = chunk.buffer(0);
    const lancelet::detail::VariablePart<Offset> whole(part, static_cast<int64_t>(chunk.num_slots()), {false});
    const uint8_t* offsets = whole.offsets.data() + first * sizeof(Offset);
    const auto at = [&](size_t i) { return load<Offset>(offsets + i * sizeof(Offset)); };
    const Offset start = at(0), stop = at(count);
    const Offset limit = static_cast<Offset>(whole.base + whole.values.size());
    bool sorted = start >= whole.base && stop <= limit;
    for (size_t i = 0; i < count; ++i) sorted &= at(i) <= at(i + 1);
    check_data(sorted, "the offsets of variable-width values decrease");
    const uint8_t* from = part.data() + start;
    const auto size = static_cast<size_t>(stop - start);
    uint8_t* to = values_.data() + (written_ + 1) * sizeof(Offset);
    uint64_t total = data_bytes_;
    if (page.symbols() != nullptr && page.symbols()->table.compressed) {
      for (size_t i = 0; i < count; ++i) {
        total += page.symbols()->measure(part.data() + at(i), part.data() + at(i + 1));
        store(to + i * sizeof(Offset), static_cast<Offset>(total));
      }
    } else {
      for (size_t i = 0; i < count; ++i)
        store(to + i * sizeof(Offset), static_cast<Offset>(total + (at(i + 1) - start)));
      total += size;
    }
    segments_.push_back({&page, from, size, static_cast<size_t>(total - data_bytes_)});
    data_bytes_ = total;
    check_total();
  }

  void check_total() const {
    const uint64_t most = column_->bits() == 32 ? max_total<uint32_t> : max_total<uint64_t>;
    check_data(data_bytes_ <= most, "the values together are too long for their offsets");
  }

  void set_offset(uint64_t value) const {
    with_offsets(static_cast<int>(column_->bits()),
                 [&]<class Offset>(Offset) { store(values_.data(), static_cast<Offset>(value)); });
  }

  // Short items are moved 16 bytes at a time as long as there is room for too much.
  static void copy_items(const Items& items, std::span<const uint32_t> picks, uint8_t* to, uint8_t* stop) {
    constexpr size_t step = 16;
    static_assert(Items::slack >= step);
    const uint64_t* offsets = items.offsets();
    const uint8_t* data = items.data();
    for (const uint32_t pick : picks) {
      const uint8_t* from = data + offsets[pick];
      const auto size = static_cast<size_t>(offsets[pick + 1] - offsets[pick]);
      const auto room = static_cast<size_t>(stop - to);
      if (size <= step && room >= step) {
        std::memcpy(to, from, step);
      } else {
        copy_bytes(to, from, size);
      }
      to += size;
    }
  }

  static bool is_ascii(Bytes data) {
    uint64_t all = 0;
    const size_t whole = data.size() / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) all |= load<uint64_t>(data.data() + i);
    for (size_t i = whole; i < data.size(); ++i) all |= data[i];
    return (all & 0x8080808080808080) == 0;
  }

  const Column* column_;
  size_t num_rows_;
  MutableBytes validity_;
  MutableBytes values_;  // or offsets
  size_t written_ = 0;
  int64_t null_count_ = 0;
  uint64_t data_bytes_ = 0;
  std::vector<Segment> segments_;
  std::vector<uint32_t> picks_;  // items in their order; of fixed width: scratch
};

// Calls `visit(page, chunk, first slot in the chunk, slots)` for all rows of a column, whose pages are all there, in
// order.
template <class Visit>
void for_chunks(const Column& column, const Pages& pages, RowRanges rows, Visit visit) {
  size_t number = pages.first;
  size_t index = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (int64_t row = rows.starts[i]; row < rows.stops[i];) {
      while (row >= column.first_row(number + 1)) {
        ++number;
        index = 0;
      }
      const Page* page = pages[number];
      require(page != nullptr, "direct: a page is not open");
      const int64_t slot = row - column.first_row(number);
      if (slot >= page->stop_slot(index)) index = page->chunk_of(slot, index);
      const int64_t last = std::min(rows.stops[i] - column.first_row(number), page->stop_slot(index));
      visit(*page, index, static_cast<size_t>(slot - page->first_slot(index)), static_cast<size_t>(last - slot));
      row += last - slot;
    }
  }
}

// A file in memory, parts of which were copied elsewhere.
struct Stored {
  Bytes file;
  const Copies& copies;

  Bytes chunk(const Page& page, size_t index) const {
    const Bytes part = page.chunk(index);
    return copies.of(part.data() - file.data(), part);
  }
};

inline void decode(const Column& column, const Pages& pages, RowRanges rows, const Stored& stored, Chunk& chunk,
                   Output& output) {
  for_chunks(column, pages, rows, [&](const Page& page, size_t index, size_t first, size_t count) {
    chunk.open(page, index, stored.chunk(page, index));
    output.append(chunk, first, count);
  });
  output.finish();
}

}  // namespace lancelet::direct
