// Column metadata blocks, which are protobuf messages, as arrays of numbers: all columns of a file a call (container.md
// 2).
//
//   ColumnMetadata   1: Encoding | 2: Page, repeated | 3, 4: offsets and sizes of buffers, packed
//   Page             1, 2: offsets and sizes of buffers, packed | 3: rows | 4: Encoding | 5: first row
//   Encoding         2: DirectEncoding        DirectEncoding   1: bytes of an Any
//
// Only plain blocks are taken: as every writer makes them, and without a fault. All others are left to the general
// parser, which knows all that protobuf allows, and has the words for what is wrong.
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>

#include "span.hpp"

namespace lancelet::columns {

inline constexpr uint64_t max_number = std::numeric_limits<int64_t>::max();
inline constexpr uint64_t alignment = 64;

// The fields of a message, one after the other. After a fault `is_plain` is false and no field follows.
class Fields {
 public:
  explicit Fields(Bytes data) : at_(data.data()), stop_(data.data() + data.size()) {}

  bool next() {
    if (at_ == stop_ || !plain_) return false;
    const uint64_t tag = varint();
    number_ = tag >> 3;
    has_bytes_ = (tag & 7) == 2;
    if (has_bytes_) {
      const uint64_t size = varint();
      if (size > static_cast<uint64_t>(stop_ - at_)) return plain_ = false;
      bytes_ = {at_, static_cast<size_t>(size)};
      at_ += size;
    } else if ((tag & 7) == 0) {
      value_ = varint();
    } else {
      plain_ = false;
    }
    return plain_;
  }

  // The next varint of packed ones.
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && at_ != stop_; shift += 7) {
      const uint8_t byte = *at_++;
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    plain_ = false;
    return 0;
  }

  bool more() const { return plain_ && at_ != stop_; }
  bool is_plain() const { return plain_; }
  uint64_t number() const { return number_; }
  bool has_bytes() const { return has_bytes_; }
  Bytes bytes() const { return bytes_; }
  uint64_t value() const { return value_; }

 private:
  const uint8_t* at_;
  const uint8_t* stop_;
  bool plain_ = true;
  bool has_bytes_ = false;
  uint64_t number_ = 0, value_ = 0;
  Bytes bytes_;
};

// Where buffers may lie.
struct Region {
  uint64_t stop;
  bool aligned;
};

struct Counts {
  int64_t pages = 0;
  int64_t buffers = 0;
};

// What is taken from a block: the parts of an Encoding, pairs of a buffer, and pages. `Sink` gets them in order.
template <class Sink>
class ColumnParser {
 public:
  ColumnParser(Region region, Sink& sink) : region_(region), sink_(sink) {}

  bool column(Bytes block) {
    Once seen;
    Bytes encoding, offsets, sizes;
    for (Fields fields(block); fields.next() || !fields.is_plain();) {
      if (!fields.is_plain() || !fields.has_bytes()) return false;
      switch (fields.number()) {
        case 1: encoding = fields.bytes(); break;
        case 2:
          if (!page(fields.bytes())) return false;
          continue;
        case 3: offsets = fields.bytes(); break;
        case 4: sizes = fields.bytes(); break;
        default: return false;
      }
      if (!seen.first(fields.number())) return false;
    }
    Bytes any;
    if (!direct(encoding, any)) return false;
    sink_.begin_column_buffers();
    if (!buffers(offsets, sizes)) return false;
    sink_.end_column(any);
    return true;
  }

 private:
  // Fields that may come only once: a second one would be merged with the first, or replace it.
  class Once {
   public:
    bool first(uint64_t number) {
      const unsigned bit = 1U << number;
      const bool is_first = (seen_ & bit) == 0;
      seen_ |= bit;
      return is_first;
    }

   private:
    unsigned seen_ = 0;
  };

  bool page(Bytes message) {
    Once seen;
    Bytes encoding, offsets, sizes;
    uint64_t num_rows = 0, first_row = 0;
    for (Fields fields(message); fields.next() || !fields.is_plain();) {
      const uint64_t number = fields.number();
      if (!fields.is_plain() || number < 1 || number > 5 || !seen.first(number)) return false;
      if (fields.has_bytes() == (number == 3 || number == 5)) return false;
      switch (number) {
        case 1: offsets = fields.bytes(); break;
        case 2: sizes = fields.bytes(); break;
        case 3: num_rows = fields.value(); break;
        case 4: encoding = fields.bytes(); break;
        default: first_row = fields.value();
      }
    }
    Bytes any;
    if (num_rows > max_number || first_row > max_number || !direct(encoding, any)) return false;
    sink_.begin_page();
    if (!buffers(offsets, sizes)) return false;
    sink_.end_page(static_cast<int64_t>(num_rows), static_cast<int64_t>(first_row), any);
    return true;
  }

  bool buffers(Bytes raw_offsets, Bytes raw_sizes) {
    Fields offsets(raw_offsets), sizes(raw_sizes);
    while (offsets.more() && sizes.more()) {
      const uint64_t position = offsets.varint(), size = sizes.varint();
      if (!offsets.is_plain() || !sizes.is_plain()) return false;
      if (position > region_.stop || size > region_.stop - position) return false;
      if (region_.aligned && position % alignment != 0) return false;
      sink_.buffer(static_cast<int64_t>(position), static_cast<int64_t>(size));
    }
    return offsets.is_plain() && sizes.is_plain() && !offsets.more() && !sizes.more();
  }

  static bool direct(Bytes encoding, Bytes& any) { return only(encoding, 2, any) && only(any, 1, any); }

  // Takes the bytes of a message's only field.
  static bool only(Bytes message, uint64_t number, Bytes& out) {
    Fields fields(message);
    if (!fields.next() || fields.number() != number || !fields.has_bytes() || fields.more()) return false;
    out = fields.bytes();
    return true;
  }

  Region region_;
  Sink& sink_;
};

class CountingSink {
 public:
  void begin_page() {}
  void begin_column_buffers() {}
  void buffer(int64_t, int64_t) { ++counts.buffers; }
  void end_page(int64_t, int64_t, Bytes) { ++counts.pages; }
  void end_column(Bytes) {}

  Counts counts;
};

inline Region checked_region(int64_t stop, bool aligned) {
  require(stop >= 0, "columns: the data ends before it begins");
  return {static_cast<uint64_t>(stop), aligned};
}

inline Bytes block_of(Bytes blocks, std::span<const int64_t> edges, size_t column) {
  require(edges[column] >= 0 && edges[column] <= edges[column + 1] &&
              static_cast<uint64_t>(edges[column + 1]) <= blocks.size(),
          "columns: a block lies outside of the blocks");
  return blocks.subspan(static_cast<size_t>(edges[column]), static_cast<size_t>(edges[column + 1] - edges[column]));
}

// counts, per column: pages and buffers, or -1 and -1 when the block is not plain.
inline void columns_measure(Bytes blocks, std::span<const int64_t> edges, int64_t stop, bool aligned,
                            std::span<int64_t> counts) {
  require(!edges.empty() && counts.size() == 2 * (edges.size() - 1), "columns: two counts a column are needed");
  for (size_t i = 0; i + 1 < edges.size(); ++i) {
    CountingSink sink;
    const bool plain = ColumnParser(checked_region(stop, aligned), sink).column(block_of(blocks, edges, i));
    counts[2 * i] = plain ? sink.counts.pages : -1;
    counts[2 * i + 1] = plain ? sink.counts.buffers : -1;
  }
}

// Numbers for the different encodings, in the order of their first use.
class Encodings {
 public:
  Encodings(Bytes blocks, std::span<int64_t> out) : blocks_(blocks), out_(out) {}

  int64_t number_of(Bytes any) {
    const std::string_view key(reinterpret_cast<const char*>(any.data()), any.size());
    const auto [found, is_new] = known_.try_emplace(key, static_cast<int64_t>(known_.size()));
    if (is_new) {
      const auto place = 2 * static_cast<size_t>(found->second);
      require(place + 2 <= out_.size(), "columns: there is no room for an encoding");
      out_[place] = any.data() - blocks_.data();
      out_[place + 1] = out_[place] + static_cast<int64_t>(any.size());
    }
    return found->second;
  }

  size_t size() const { return known_.size(); }

 private:
  Bytes blocks_;
  std::span<int64_t> out_;
  std::unordered_map<std::string_view, int64_t> known_;
};

struct Outputs {
  static constexpr size_t column_width = 7, page_width = 5;

  std::span<int64_t> columns;
  std::span<int64_t> pages;
  std::span<int64_t> buffers;
};

class WritingSink {
 public:
  WritingSink(Outputs out, Encodings& encodings) : out_(out), encodings_(encodings) {}

  void begin_column() {
    first_page_ = page_;
    num_rows_ = bytes_ = 0;
    in_order_ = true;
  }

  void begin_page() { first_buffer_ = buffer_; }

  void begin_column_buffers() {
    first_buffer_ = buffer_;
    page_bytes_ = bytes_;
  }

  void buffer(int64_t position, int64_t size) {
    require(2 * buffer_ + 2 <= out_.buffers.size(), "columns: there is no room for a buffer");
    out_.buffers[2 * buffer_] = position;
    out_.buffers[2 * buffer_ + 1] = size;
    ++buffer_;
    // Buffers may share bytes, so that only absurd files have more than fit; then any number will do.
    bytes_ = bytes_ > static_cast<int64_t>(max_number) - size ? static_cast<int64_t>(max_number) : bytes_ + size;
  }

  void end_page(int64_t num_rows, int64_t first_row, Bytes any) {
    require((page_ + 1) * Outputs::page_width <= out_.pages.size(), "columns: there is no room for a page");
    int64_t* row = out_.pages.data() + page_ * Outputs::page_width;
    row[0] = static_cast<int64_t>(first_buffer_);
    row[1] = static_cast<int64_t>(buffer_ - first_buffer_);
    row[2] = num_rows;
    row[3] = first_row;
    row[4] = encodings_.number_of(any);
    ++page_;
    in_order_ = in_order_ && first_row == num_rows_ && num_rows <= static_cast<int64_t>(max_number) - num_rows_;
    if (in_order_) num_rows_ += num_rows;
  }

  void end_column(Bytes any) {
    int64_t* row = begin_row();
    row[0] = static_cast<int64_t>(first_page_);
    row[1] = static_cast<int64_t>(page_ - first_page_);
    row[2] = static_cast<int64_t>(first_buffer_);
    row[3] = static_cast<int64_t>(buffer_ - first_buffer_);
    row[4] = encodings_.number_of(any);
    row[5] = in_order_ ? num_rows_ : -1;
    row[6] = page_bytes_;
  }

  void no_column() { std::fill_n(begin_row(), Outputs::column_width, int64_t{-1}); }

 private:
  int64_t* begin_row() {
    require((column_ + 1) * Outputs::column_width <= out_.columns.size(), "columns: there is no room for a column");
    return out_.columns.data() + Outputs::column_width * column_++;
  }

  Outputs out_;
  Encodings& encodings_;
  size_t column_ = 0, page_ = 0, buffer_ = 0, first_page_ = 0, first_buffer_ = 0;
  int64_t num_rows_ = 0, bytes_ = 0, page_bytes_ = 0;
  bool in_order_ = true;
};

// Returns the number of different encodings. `counts` are those of columns_measure.
inline size_t columns_parse(Bytes blocks, std::span<const int64_t> edges, int64_t stop, bool aligned,
                            std::span<const int64_t> counts, Outputs out, std::span<int64_t> out_encodings) {
  require(!edges.empty() && counts.size() == 2 * (edges.size() - 1), "columns: two counts a column are needed");
  Encodings encodings(blocks, out_encodings);
  WritingSink sink(out, encodings);
  for (size_t i = 0; i + 1 < edges.size(); ++i) {
    if (counts[2 * i] < 0) {
      sink.no_column();
      continue;
    }
    sink.begin_column();
    const bool plain = ColumnParser(checked_region(stop, aligned), sink).column(block_of(blocks, edges, i));
    require(plain, "columns: the counts are those of other blocks");
  }
  return encodings.size();
}

// Writes protobuf messages.
class MessageWriter {
 public:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  void number(unsigned field, uint64_t value) {
    if (value == 0) return;
    varint(field << 3);
    varint(value);
  }
  void bytes(unsigned field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    out_.append(value);
  }
  std::string_view view() const { return out_; }
  void clear() { out_.clear(); }

 private:
  std::string out_;
};

// The pages of some columns as messages, with other positions and first rows: `columns` has first page and number of
// pages of each, `spans` the place of each encoding in `blocks`; buffers from starts[i] on go shifts[i] bytes further.
struct MovedPages {
  Bytes blocks;
  std::span<const int64_t> spans, pages, buffers, starts, shifts;
  int64_t first_row;

  std::string column(int64_t first_page, int64_t num_pages) const {
    require(first_page >= 0 && num_pages >= 0 && num_pages <= static_cast<int64_t>(pages.size() / 5) - first_page,
            "columns: no such pages");
    MessageWriter column, page, part, direct;
    for (int64_t i = first_page; i < first_page + num_pages; ++i) {
      const auto row = pages.subspan(static_cast<size_t>(i) * 5).first<5>();
      require(row[0] >= 0 && row[1] >= 0 && row[1] <= static_cast<int64_t>(buffers.size() / 2) - row[0],
              "columns: no such buffers");
      require(row[4] >= 0 && static_cast<uint64_t>(row[4]) < spans.size() / 2, "columns: no such encoding");
      require(row[2] >= 0 && row[3] >= 0 && first_row <= std::numeric_limits<int64_t>::max() - row[3],
              "columns: no such rows");
      const auto own = buffers.subspan(static_cast<size_t>(row[0]) * 2, static_cast<size_t>(row[1]) * 2);
      page.clear();
      for (unsigned field = 1; field <= 2 && !own.empty(); ++field) {
        part.clear();
        for (size_t k = 0; k < own.size(); k += 2)
          part.varint(static_cast<uint64_t>(field == 1 ? moved(own[k]) : own[k + 1]));
        page.bytes(field, part.view());
      }
      page.number(3, static_cast<uint64_t>(row[2]));
      const size_t at = static_cast<size_t>(row[4]) * 2;
      const Bytes any = checked_slice(blocks, spans[at], spans[at + 1] - spans[at]);
      direct.clear();
      direct.bytes(1, {reinterpret_cast<const char*>(any.data()), any.size()});
      part.clear();
      part.bytes(2, direct.view());
      page.bytes(4, part.view());
      page.number(5, static_cast<uint64_t>(row[3] + first_row));
      column.bytes(2, page.view());
    }
    return std::string(column.view());
  }

 private:
  int64_t moved(int64_t position) const {
    const auto after = std::upper_bound(starts.begin(), starts.end(), position);
    require(after != starts.begin(), "columns: a buffer lies before all that is moved");
    const int64_t shift = shifts[static_cast<size_t>(after - starts.begin()) - 1];
    require(shift >= -position && (shift < 0 || position <= std::numeric_limits<int64_t>::max() - shift),
            "columns: a buffer is moved out of the file");
    return position + shift;
  }
};

// Where the buffers of mini-block pages lie, from the arrays of columns_parse.
//   wanted   column, page, form, row in `pages`, is text     out_places   column, page, form or -1, position and size
//   of
//                                                                         three buffers, is text
// The first two are the chunk words and the chunks; the third, a dictionary, only where the form has three buffers. A
// page with another number of buffers than its form gets form -1.
inline void page_places(std::span<const int64_t> wanted, std::span<const int64_t> pages,
                        std::span<const int64_t> buffers, std::span<const int64_t> num_buffers,
                        std::span<int64_t> out_places) {
  constexpr size_t wanted_width = 5, place_width = 10, page_width = 5;
  const auto row_of = [](std::span<const int64_t> rows, int64_t row, size_t width) {
    require(row >= 0 && static_cast<uint64_t>(row) < rows.size() / width, "columns: no such row");
    return rows.subspan(static_cast<size_t>(row) * width, width);
  };
  require(wanted.size() % wanted_width == 0 && out_places.size() == wanted.size() / wanted_width * place_width,
          "columns: five numbers a page are needed, and ten come out");
  for (size_t i = 0; i < wanted.size() / wanted_width; ++i) {
    const auto page = wanted.subspan(wanted_width * i, wanted_width);
    const auto out = out_places.subspan(place_width * i, place_width);
    const auto row = row_of(pages, page[3], page_width);
    const int64_t count = row_of(num_buffers, page[2], 1)[0];
    require(count == 2 || count == 3, "columns: a mini-block page has two or three buffers");
    const bool is_known = row[1] == count;
    std::fill(out.begin(), out.end(), 0);
    out[0] = page[0];
    out[1] = page[1];
    out[2] = is_known ? page[2] : -1;
    out[9] = page[4];
    for (int64_t k = 0; is_known && k < count; ++k) {
      const auto buffer = row_of(buffers, row[0] + k, 2);
      out[3 + 2 * static_cast<size_t>(k)] = buffer[0];
      out[4 + 2 * static_cast<size_t>(k)] = buffer[1];
    }
  }
}

}  // namespace lancelet::columns
