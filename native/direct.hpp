// Flat mini-block columns read straight from a mapped file: many columns a call, chunk by chunk, only the rows that are
// wanted (structural.md 5). What a page must look like to be read this way stands in file/direct.py; every other page
// takes the general way, and so does every page whose bytes are refused here.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "bitpack.hpp"
#include "flat.hpp"
#include "fsst.hpp"
#include "miniblock.hpp"
#include "runs.hpp"
#include "span.hpp"
#include "varwidth.hpp"

namespace lancelet::direct {

enum class LevelForm : int { none, flat, packed, packed_apart, runs };
enum class ValueForm : int { flat, packed, runs, variable, symbols };

// The values that indices refer to. One more follows the last: zeros, or nothing, for slots that are null.
class Items {
 public:
  static constexpr size_t slack = 32;  // bytes that may be read past the last item

  Items() = default;

  static Items fixed(Bytes data, unsigned bits) {
    require(bits != 0 && bits % 8 == 0 && data.size() % (bits / 8) == 0, "direct: items are not whole values");
    Items items;
    items.count_ = data.size() / (bits / 8);
    items.keep(data, bits / 8 + slack);
    return items;
  }

  static Items variable(Bytes data, Bytes raw_offsets, int offset_bits) {
    Items items;
    with_offsets(offset_bits, [&]<class Offset>(Offset) {
      const Offsets<Offset> offsets(raw_offsets);
      offsets.check(data.size());
      items.count_ = offsets.num_values();
      items.offsets_.resize(items.count_ + 2);
      for (size_t i = 0; i <= items.count_; ++i) items.offsets_[i] = offsets[i];
      items.offsets_.back() = offsets.last();
    });
    items.keep(data, slack);
    return items;
  }

  size_t count() const { return count_; }
  size_t held_bytes() const { return data_.size() + 8 * offsets_.size(); }
  const uint8_t* data() const { return data_.data(); }
  const uint64_t* offsets() const { return offsets_.data(); }
  bool is_variable() const { return !offsets_.empty(); }

 private:
  void keep(Bytes data, size_t spare) {
    data_.reserve(data.size() + spare);
    data_.assign(data.begin(), data.end());
    data_.resize(data.size() + spare);
  }

  size_t count_ = 0;
  std::vector<uint8_t> data_;
  std::vector<uint64_t> offsets_;
};

struct Symbols {
  FsstTable table;
  FsstMeasure measure;

  explicit Symbols(Bytes raw) : table(raw), measure(table) {}
};

// How the chunks of a page are to be read; was checked against its message.
struct PageForm {
  LevelForm levels;
  unsigned level_width;  // packed_apart: bits of a level
  ValueForm values;
  unsigned bits;  // of a value, an index, or an offset
  bool large;

  ChunkShape shape() const {
    return {false, levels != LevelForm::none, values == ValueForm::runs ? size_t{2} : size_t{1}, large};
  }
};

class Page {
 public:
  Page(PageForm form, Bytes words, Bytes chunks, int64_t num_rows, Items items, std::optional<Symbols> symbols)
      : form_(form), chunks_(chunks), items_(std::move(items)), symbols_(std::move(symbols)) {
    const size_t num_chunks = words.size() / (form.large ? 4 : 2);
    ends_.resize(num_chunks);
    stops_.resize(num_chunks);
    const auto chunk_bytes = static_cast<int64_t>(chunks.size());
    if (form.large)
      miniblock_chunks<uint32_t>(words, chunk_bytes, num_rows, ends_, stops_);
    else
      miniblock_chunks<uint16_t>(words, chunk_bytes, num_rows, ends_, stops_);
    for (size_t i = 1; i < num_chunks; ++i) {
      ends_[i] += ends_[i - 1];
      stops_[i] += stops_[i - 1];
    }
  }

  const PageForm& form() const { return form_; }
  size_t held_bytes() const { return 16 * ends_.size() + items_.held_bytes() + (symbols_ ? sizeof(Symbols) : 0); }
  const Items* items() const { return items_.count() != 0 ? &items_ : nullptr; }
  const Symbols* symbols() const { return symbols_ ? &*symbols_ : nullptr; }

  int64_t first_slot(size_t chunk) const { return chunk == 0 ? 0 : stops_[chunk - 1]; }
  int64_t stop_slot(size_t chunk) const { return stops_[chunk]; }
  Bytes chunk(size_t index) const {
    const auto start = static_cast<size_t>(index == 0 ? 0 : ends_[index - 1]);
    return chunks_.subspan(start, static_cast<size_t>(ends_[index]) - start);
  }
  // The chunk of a slot, which is not before chunk `from`.
  size_t chunk_of(int64_t slot, size_t from) const {
    return static_cast<size_t>(
        std::upper_bound(stops_.begin() + static_cast<std::ptrdiff_t>(from), stops_.end(), slot) - stops_.begin());
  }

 private:
  PageForm form_;
  Bytes chunks_;
  Items items_;
  std::optional<Symbols> symbols_;
  std::vector<int64_t> ends_;   // bytes up to the end of a chunk
  std::vector<int64_t> stops_;  // slots up to the end of a chunk
};

// One chunk of a page, taken apart. What is decoded is kept until another one is opened.
class Chunk {
 public:
  // `bytes` are those of the chunk, wherever they lie.
  void open(const Page& page, size_t index, Bytes bytes) {
    if (page_ == &page && index_ == index) return;
    page_ = &page;
    index_ = index;
    levels_ready_ = values_ready_ = false;
    const int64_t slots = page.stop_slot(index) - page.first_slot(index);
    num_slots_ = static_cast<size_t>(slots);
    const auto size = static_cast<int64_t>(bytes.size());
    const ChunkShape shape = page.form().shape();
    std::array<int64_t, 3> offsets{}, sizes{};
    int64_t entries = 0;
    const size_t num_parts = shape.num_parts();
    miniblock_headers(bytes, {&size, 1}, {&slots, 1}, shape, {&entries, 1}, std::span(offsets).first(num_parts),
                      std::span(sizes).first(num_parts));
    for (size_t i = 0; i < num_parts; ++i) parts_[i] = checked_slice(bytes, offsets[i], sizes[i]);
    buffers_ = std::span(parts_).subspan(shape.has_def ? 1 : 0, shape.num_buffers);
  }

  size_t num_slots() const { return num_slots_; }
  const Page& page() const { return *page_; }
  bool has_levels() const { return page_->form().levels != LevelForm::none; }
  Bytes buffer(size_t index) const { return buffers_[index]; }

  // Definition levels: 0 or 1 a slot.
  const uint16_t* levels() {
    if (!levels_ready_) decode_levels();
    return levels_.data();
  }

  // Values of one width, in scratch memory.
  const uint8_t* values() {
    if (!values_ready_) {
      const size_t room = num_slots_ * (page_->form().bits / 8) + Items::slack;
      if (scratch_.size() < room) scratch_.resize(room);
      decode_values({scratch_.data(), scratch_.size()});
      values_ready_ = true;
    }
    return scratch_.data();
  }

  // Decodes all values to `out`, which reaches to the end of what may be written over.
  void decode_values(MutableBytes out) const {
    const PageForm& form = page_->form();
    const size_t num_bytes = num_slots_ * (form.bits / 8);
    require(out.size() >= num_bytes, "direct: the output is too small");
    if (form.values == ValueForm::packed) {
      const int64_t offset = 0, size = static_cast<int64_t>(buffer(0).size()), count = static_cast<int64_t>(num_slots_);
      inline_unpack(buffer(0), {&offset, 1}, {&size, 1}, {&count, 1}, form.bits, out.first(num_bytes));
    } else if (form.values == ValueForm::runs) {
      const auto count = static_cast<int64_t>(num_slots_);
      switch (form.bits) {
        case 8: return expand_chunk_of<uint8_t>(8, buffer(0), buffer(1), count, out);
        case 16: return expand_chunk_of<uint16_t>(8, buffer(0), buffer(1), count, out);
        case 32: return expand_chunk_of<uint32_t>(8, buffer(0), buffer(1), count, out);
        default: return expand_chunk_of<uint64_t>(8, buffer(0), buffer(1), count, out);
      }
    } else {
      copy_bytes(out.data(), flat_values(), num_bytes);
    }
  }

  // Values as they lie in the file.
  const uint8_t* flat_values() const {
    const size_t bits = page_->form().bits;
    check_data(buffer(0).size() == (bits == 1 ? bitmap_bytes(num_slots_) : num_slots_ * (bits / 8)),
               "the size of a flat buffer does not fit its number of values");
    return buffer(0).data();
  }

 private:
  void decode_levels() {
    const Bytes part = parts_[0];
    if (levels_.size() < num_slots_) levels_.resize(num_slots_);
    const MutableBytes exact(reinterpret_cast<uint8_t*>(levels_.data()), num_slots_ * 2);
    const int64_t offset = 0, size = static_cast<int64_t>(part.size()), count = static_cast<int64_t>(num_slots_);
    switch (page_->form().levels) {
      case LevelForm::flat: flat_gather(part, {&offset, 1}, {&size, 1}, {&count, 1}, 16, exact); break;
      case LevelForm::packed: inline_unpack(part, {&offset, 1}, {&size, 1}, {&count, 1}, 16, exact); break;
      case LevelForm::packed_apart:
        out_of_line_unpack(part, {&offset, 1}, {&size, 1}, {&count, 1}, 16, page_->form().level_width, exact);
        break;
      case LevelForm::runs: rle_decode_blocks<uint16_t>({part, {&offset, 1}, {&size, 1}}, {&count, 1}, 8, exact); break;
      case LevelForm::none: throw BadArgument("direct: a page without levels");
    }
    uint16_t largest = 0;
    for (size_t i = 0; i < num_slots_; ++i) largest = std::max(largest, levels_[i]);
    check_data(largest <= 1, "a definition level is larger than the layers allow");
    levels_ready_ = true;
  }

  const Page* page_ = nullptr;
  size_t index_ = 0;
  size_t num_slots_ = 0;
  std::array<Bytes, 3> parts_;
  std::span<const Bytes> buffers_;
  bool levels_ready_ = false, values_ready_ = false;
  std::vector<uint16_t> levels_;
  std::vector<uint8_t> scratch_;
};

}  // namespace lancelet::direct
