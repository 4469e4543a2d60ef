// Bindings of direct.hpp and direct_read.hpp: two objects, since pages and the plan of a read live longer than a call.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "buffer_lists.hpp"
#include "buffers.hpp"
#include "direct_items.hpp"
#include "direct_read.hpp"
#include "ranges.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

// Memory of somebody else's, held as long as this object lives.
class Held {
 public:
  explicit Held(nb::handle source) {
    if (PyObject_GetBuffer(source.ptr(), &view_, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { PyBuffer_Release(&view_); }

  Bytes bytes() const { return {static_cast<const uint8_t*>(view_.buf), static_cast<size_t>(view_.len)}; }

 private:
  Py_buffer view_{};
};

class DirectColumns {
 public:
  explicit DirectColumns(nb::handle file) : file_(file) {}

  size_t add_column(In<int64_t> first_rows, bool is_variable, unsigned bits) {
    columns_.push_back(std::make_unique<direct::Column>(first_rows.span, is_variable, bits));
    return columns_.size() - 1;
  }

  // The same for many: pages, is_variable and bits of each. Returns the number of the first.
  size_t add_columns(In<int64_t> first_rows, In<int64_t> kinds) {
    const size_t first = columns_.size();
    std::span<const int64_t> rows = first_rows.span;
    require(kinds.span.size() % 3 == 0, "direct: three numbers a column");
    for (size_t i = 0; i < kinds.span.size(); i += 3) {
      const int64_t num_pages = kinds.span[i], bits = kinds.span[i + 2];
      require(num_pages >= 0 && static_cast<uint64_t>(num_pages) < rows.size() && bits >= 0 &&
                  bits <= std::numeric_limits<int>::max(),
              "direct: columns of other pages");
      const size_t count = static_cast<size_t>(num_pages) + 1;
      columns_.push_back(
          std::make_unique<direct::Column>(rows.first(count), kinds.span[i + 1] != 0, static_cast<unsigned>(bits)));
      rows = rows.subspan(count);
    }
    require(rows.empty(), "direct: columns of other pages");
    return first;
  }

  // Returns the bytes that the page holds beside the file.
  size_t add_page(size_t column, size_t page, int levels, unsigned level_width, int values, unsigned bits, bool large,
                  std::pair<int64_t, int64_t> words, std::pair<int64_t, int64_t> chunks, nb::handle items,
                  unsigned item_bits, nb::handle item_offsets, nb::handle symbols) {
    direct::Items dictionary;
    if (!items.is_none()) {
      const Held data(items);
      dictionary = item_offsets.is_none()
                       ? direct::Items::fixed(data.bytes(), item_bits)
                       : direct::Items::variable(data.bytes(), Held(item_offsets).bytes(), static_cast<int>(item_bits));
      require(item_bits == this->column(column).bits(), "direct: a dictionary holds other values than its column");
    }
    const Bytes stored = checked_slice(file_.bytes(), words.first, words.second);
    return open_page(column, page, form_of(levels, level_width, values, bits, large), stored, chunks,
                     items.is_none() ? std::nullopt : std::optional(std::move(dictionary)), symbols);
  }

  // Opens pages of known forms until they hold more than `room` bytes; returns how many it came to. held: the bytes
  // that each holds beside the file, or -1 for those that are refused.
  //   pages   column, page, form, position and size of words, of chunks, of the dictionary, whether values are text
  //   forms   levels, level width, values, bits, large, rows, items (none, fixed, variable), item bits, lz4, items
  size_t add_pages(In<int64_t> pages, In<int64_t> forms, nb::list symbols, const std::vector<Range>& copied,
                   In<uint8_t> copies, int64_t room, Out<int64_t> out_held) {
    const Copies heads(copied, copies.span);
    constexpr size_t page_width = 10, form_width = 10;
    require(
        pages.span.size() == page_width * out_held.span.size() && forms.span.size() == form_width * nb::len(symbols),
        "direct: ten numbers a page and a form");
    size_t i = 0;
    for (; i < out_held.span.size() && room >= 0; ++i) {
      const auto page = pages.span.subspan(page_width * i).first<page_width>();
      require(page[2] >= 0 && static_cast<uint64_t>(page[2]) < nb::len(symbols), "direct: no such form");
      const auto place = static_cast<size_t>(page[2]);
      try {
        out_held.span[i] = static_cast<int64_t>(
            add_known(page, forms.span.subspan(form_width * place).first<form_width>(), symbols[place], heads));
        room -= out_held.span[i];
      } catch (const CorruptData&) {
        out_held.span[i] = -1;
      } catch (const BadArgument&) {
        out_held.span[i] = -1;
      }
    }
    return i;
  }

  void forget_pages() {
    for (const auto& column : columns_) column->forget_pages();
  }

  Bytes file() const { return file_.bytes(); }

  direct::Column& column(size_t index) const {
    require(index < columns_.size(), "direct: no such column");
    return *columns_[index];
  }

 private:
  static direct::PageForm form_of(int64_t levels, int64_t level_width, int64_t values, int64_t bits, bool large) {
    require(levels >= 0 && levels <= 4 && values >= 0 && values <= 4, "direct: no such form");
    require(level_width >= 0 && level_width <= 16, "direct: levels have 16 bits");
    require(bits >= 0 && bits <= std::numeric_limits<int>::max(), "direct: values of this width");
    const auto value_form = static_cast<direct::ValueForm>(values);
    if (value_form == direct::ValueForm::packed || value_form == direct::ValueForm::runs)
      require_word_bits(static_cast<unsigned>(bits));
    return {static_cast<direct::LevelForm>(levels), static_cast<unsigned>(level_width), value_form,
            static_cast<unsigned>(bits), large};
  }

  size_t open_page(size_t column, size_t page, direct::PageForm form, Bytes words, std::pair<int64_t, int64_t> chunks,
                   std::optional<direct::Items> items, nb::handle symbols) {
    direct::Column& target = this->column(column);
    require(page < target.num_pages(), "direct: no such page");
    if (items)
      require(items->count() > 0 && items->count() < std::numeric_limits<uint32_t>::max(),
              "direct: a dictionary of this length");
    std::optional<direct::Symbols> table;
    if (!symbols.is_none()) table.emplace(Held(symbols).bytes());
    require((form.values == direct::ValueForm::symbols) == table.has_value(), "direct: a symbol table is missing");
    auto opened =
        std::make_shared<const direct::Page>(form, words, checked_slice(file_.bytes(), chunks.first, chunks.second),
                                             target.first_row(page + 1) - target.first_row(page),
                                             items ? std::move(*items) : direct::Items(), std::move(table));
    const size_t held = opened->held_bytes();
    target.set_page(page, std::move(opened));
    return held;
  }

  size_t add_known(std::span<const int64_t, 10> page, std::span<const int64_t, 10> form, nb::handle symbols,
                   const Copies& heads) {
    const auto column = static_cast<size_t>(page[0]), number = static_cast<size_t>(page[1]);
    const direct::Column& target = this->column(column);
    require(number < target.num_pages(), "direct: no such page");
    require(target.first_row(number + 1) - target.first_row(number) == form[5], "direct: a page of other rows");
    const auto stored = [&](int64_t position, int64_t size) {
      return heads.of(position, checked_slice(file_.bytes(), position, size));
    };
    std::optional<direct::Items> items;
    if (form[6] != 0)
      items = direct::decode_items({form[6] == 2, target.bits(), form[7], form[8] != 0, form[9], page[9] != 0},
                                   stored(page[7], page[8]));
    return open_page(column, number, form_of(form[0], form[1], form[2], form[3], form[4] != 0),
                     stored(page[3], page[4]), {page[5], page[6]}, std::move(items), symbols);
  }

  Held file_;
  std::vector<std::unique_ptr<direct::Column>> columns_;
};

class DirectRead {
 public:
  DirectRead(nb::object columns, In<int64_t> numbers, In<int64_t> starts, In<int64_t> stops)
      : owner_(std::move(columns)),
        starts_(starts.span.begin(), starts.span.end()),
        stops_(stops.span.begin(), stops.span.end()) {
    const auto& all = nb::cast<const DirectColumns&>(owner_);
    file_ = all.file();
    rows().check();
    columns_.reserve(numbers.span.size());
    for (const int64_t number : numbers.span) {
      columns_.push_back(&all.column(static_cast<size_t>(number)));
      require(stops_.back() <= columns_.back()->num_rows(), "direct: there are not as many rows");
    }
    num_rows_ = static_cast<size_t>(rows().num_rows());
    pages_.resize(columns_.size());
    for (size_t i = 0; i < columns_.size(); ++i) {
      pages_[i].first = columns_[i]->page_of(starts_.front());
      pages_[i].pages.resize(columns_[i]->page_of(stops_.back() - 1) + 1 - pages_[i].first);
    }
  }

  // Pages that must be opened first: pairs of a column's place in the request and a page. Those that are open are kept.
  std::vector<std::pair<size_t, size_t>> missing() {
    std::vector<std::pair<size_t, size_t>> found;
    for_pages([&](size_t i, size_t page, std::shared_ptr<const direct::Page>& opened) {
      if (opened == nullptr) opened = columns_[i]->page(page);
      if (opened == nullptr) found.emplace_back(i, page);
    });
    return found;
  }

  // Position and size of the chunks that hold the rows, in order; those with at most `gap` bytes between them together.
  // All pages must be there.
  std::vector<Range> chunk_ranges(int64_t gap) const {
    std::vector<Range> ranges;
    for (size_t i = 0; i < columns_.size(); ++i)
      direct::for_chunks(*columns_[i], pages_[i], rows(), [&](const direct::Page& page, size_t chunk, size_t, size_t) {
        const Bytes bytes = page.chunk(chunk);
        const int64_t position = bytes.data() - file_.data();
        const auto size = static_cast<int64_t>(bytes.size());
        if (!ranges.empty() && ranges.back().first + ranges.back().second == position)
          ranges.back().second += size;
        else
          ranges.emplace_back(position, size);
      });
    merge_near(ranges, gap);
    return ranges;
  }

  // Ranges of the file that lie in `data`, which is held from now on: chunks are read there.
  void use_copies(const std::vector<Range>& ranges, nb::handle data) {
    outputs_.clear();  // what they refer to goes
    auto held = std::make_unique<Held>(data);
    copies_ = Copies(ranges, held->bytes());
    copied_ = std::move(held);
  }

  // Per column: whether it needs a bitmap, and the bytes of its values or offsets.
  void measure(Out<int64_t> out_needs) {
    const auto needs = out_needs.span;
    require(needs.size() == 2 * columns_.size(), "direct: two numbers a column");
    for (size_t i = 0; i < columns_.size(); ++i) {
      needs[2 * i] = 0;
      needs[2 * i + 1] = static_cast<int64_t>(direct::Output::needed_bytes(*columns_[i], num_rows_));
    }
    for_pages([&](size_t i, size_t, const std::shared_ptr<const direct::Page>& opened) {
      if (opened != nullptr && opened->form().levels != direct::LevelForm::none) needs[2 * i] = 1;
    });
  }

  // where, per column: which buffer, byte of the bitmap in it or -1, byte of the values. report: nulls, bytes of data.
  void decode(OutList outs, In<int64_t> where, Out<int64_t> out_report) {
    require(where.span.size() == 3 * columns_.size() && out_report.span.size() == 2 * columns_.size(),
            "direct: three places and two numbers a column");
    outputs_.clear();
    outputs_.reserve(columns_.size());
    direct::Chunk chunk;
    const direct::Stored stored{file_, copies_};
    for (size_t i = 0; i < columns_.size(); ++i) {
      const int64_t* place = where.span.data() + 3 * i;
      const MutableBytes validity =
          place[1] < 0 ? MutableBytes{} : part(outs, place[0], place[1], bitmap_bytes(num_rows_));
      const MutableBytes values = part(outs, place[0], place[2], direct::Output::needed_bytes(*columns_[i], num_rows_));
      direct::Output output(*columns_[i], num_rows_, validity, values);
      direct::decode(*columns_[i], pages_[i], rows(), stored, chunk, output);
      out_report.span[2 * i] = output.null_count();
      out_report.span[2 * i + 1] = static_cast<int64_t>(output.data_bytes());
      outputs_.push_back(std::move(output));
    }
  }

  // The same for the bytes of variable-width values; places of other columns are not looked at. ascii: 1 if all
  // that come from no dictionary are.
  void copy(OutList outs, In<int64_t> where, Out<uint8_t> out_ascii) const {
    require(where.span.size() == 3 * columns_.size() && out_ascii.span.size() == columns_.size() &&
                outputs_.size() == columns_.size(),
            "direct: three places and a flag a column, and decode comes first");
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (!columns_[i]->is_variable()) continue;
      const int64_t* place = where.span.data() + 3 * i;
      out_ascii.span[i] =
          outputs_[i].copy(part(outs, place[0], place[2], static_cast<size_t>(outputs_[i].data_bytes())));
    }
  }

 private:
  direct::RowRanges rows() const { return {starts_, stops_}; }

  template <class Function>
  void for_pages(Function function) {
    for (size_t i = 0; i < columns_.size(); ++i) {
      const direct::Column& column = *columns_[i];
      direct::Pages& pages = pages_[i];
      for (size_t k = 0; k < pages.pages.size(); ++k) {
        const size_t page = pages.first + k;
        const auto range = std::upper_bound(stops_.begin(), stops_.end(), column.first_row(page));
        if (range != stops_.end() && starts_[static_cast<size_t>(range - stops_.begin())] < column.first_row(page + 1))
          function(i, page, pages.pages[k]);
      }
    }
  }

  static MutableBytes part(const OutList& outs, int64_t index, int64_t offset, size_t size) {
    require(index >= 0 && static_cast<uint64_t>(index) < outs.spans.size(), "direct: no such buffer");
    const MutableBytes out = outs.spans[static_cast<size_t>(index)];
    require(
        offset >= 0 && static_cast<uint64_t>(offset) <= out.size() && size <= out.size() - static_cast<size_t>(offset),
        "direct: the result does not fit its buffer");
    return out.subspan(static_cast<size_t>(offset), size);
  }

  nb::object owner_;  // which holds the file
  Bytes file_;
  std::unique_ptr<Held> copied_;
  Copies copies_;
  std::vector<int64_t> starts_, stops_;
  size_t num_rows_ = 0;
  std::vector<const direct::Column*> columns_;
  std::vector<direct::Pages> pages_;
  std::vector<direct::Output> outputs_;
};

}  // namespace

void bind_direct(nb::module_& module) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<DirectColumns>(module, "DirectColumns")
      .def(nb::init<nb::handle>(), "file"_a)
      .def("add_column", &DirectColumns::add_column, "first_rows"_a, "is_variable"_a, "bits"_a)
      .def("add_columns", &DirectColumns::add_columns, "first_rows"_a, "kinds"_a)
      .def("add_pages", &DirectColumns::add_pages, "pages"_a, "forms"_a, "symbols"_a, "copied"_a, "copies"_a, "room"_a,
           "out_held"_a)
      .def("add_page", &DirectColumns::add_page, "column"_a, "page"_a, "levels"_a, "level_width"_a, "values"_a,
           "bits"_a, "large"_a, "words"_a, "chunks"_a, "items"_a.none(), "item_bits"_a, "item_offsets"_a.none(),
           "symbols"_a.none())
      .def("forget_pages", &DirectColumns::forget_pages);
  nb::class_<DirectRead>(module, "DirectRead")
      .def(nb::init<nb::object, In<int64_t>, In<int64_t>, In<int64_t>>(), "columns"_a, "numbers"_a, "starts"_a,
           "stops"_a)
      .def("missing", &DirectRead::missing)
      .def("chunk_ranges", &DirectRead::chunk_ranges, "gap"_a)
      .def("use_copies", &DirectRead::use_copies, "ranges"_a, "data"_a)
      .def("measure", &DirectRead::measure, "out_needs"_a)
      .def("decode", &DirectRead::decode, "outs"_a, "where"_a, "out_report"_a, release)
      .def("copy", &DirectRead::copy, "outs"_a, "where"_a, "out_ascii"_a, release);
}

}  // namespace lancelet
