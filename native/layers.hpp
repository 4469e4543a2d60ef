// All layers of a few levels taken off in one call, with the kernels of levels.hpp (structural.md 4.5).
#pragma once

#include <vector>

#include "levels.hpp"

namespace lancelet {

// Layers by their number in the file, inner-most first.
class Layers {
 public:
  explicit Layers(Bytes numbers) : numbers_(numbers) {
    for (uint8_t number : numbers) require(number >= 1 && number <= 6, "unravel_layers: a layer has no such number");
  }

  size_t size() const { return numbers_.size(); }
  bool is_list(size_t i) const { return numbers_[i] == 2 || numbers_[i] >= 4; }
  bool is_nullable_item(size_t i) const { return numbers_[i] == 3; }
  bool has_empty(size_t i) const { return numbers_[i] >= 5; }
  int64_t num_def(size_t i) const { return std::array<int64_t, 7>{0, 0, 0, 1, 1, 1, 2}[numbers_[i]]; }

  int64_t max_rep() const {
    int64_t lists = 0;
    for (size_t i = 0; i < size(); ++i) lists += is_list(i) ? 1 : 0;
    return lists;
  }
  int64_t max_def() const {
    int64_t total = 0;
    for (size_t i = 0; i < size(); ++i) total += num_def(i);
    return total;
  }
  // The largest level of an entry that has a value in layer `first`, where levels are counted from there.
  int64_t max_visible(size_t first) const {
    int64_t total = 0;
    for (size_t i = first; i < size() && !is_list(i); ++i) total += num_def(i);
    return total;
  }

 private:
  Bytes numbers_;
};

// Bytes of a bitmap, and of the offsets after it, that a layer of so many entries may take.
inline size_t layer_bitmap_bytes(size_t num_entries) { return (num_entries / 64 + 1) * 8; }
inline size_t layer_offsets_bytes(size_t num_entries) { return (num_entries / 2 + 1) * 8; }

// What is left of the levels while layers are taken off.
struct RemainingLevels {
  Levels rep;
  Levels def;
  int64_t max_valid = 0;
  int64_t num_values = 0;
  std::vector<uint16_t> rep_kept{};
  std::vector<uint16_t> def_kept{};

  int64_t take_item(const Layers& layers, size_t i, MutableBytes bitmap) {
    const int64_t visible = max_valid + layers.max_visible(i);
    int64_t nulls = 0;
    if (layers.is_nullable_item(i) && !def.empty()) {
      const auto size = bitmap_bytes(static_cast<size_t>(num_values));
      nulls = unravel_validity(def, visible, max_valid, num_values, bitmap.first(size));
    }
    max_valid += layers.num_def(i);
    return nulls;
  }

  // Gives the nulls, -1 if the lists do not have as many items as there are.
  int64_t take_lists(const Layers& layers, size_t i, MutableBytes bitmap, MutableBytes offsets) {
    const int64_t top = max_valid + layers.num_def(i);
    const int64_t visible = top + layers.max_visible(i + 1);
    const auto [remaining, lists] = count_lists(rep, def, visible);
    const auto num_lists = static_cast<size_t>(lists);
    const size_t kept = i + 1 < layers.size() ? static_cast<size_t>(remaining) : 0;
    std::vector<uint16_t> rep_out(kept);
    std::vector<uint16_t> def_out(def.empty() ? 0 : kept);
    offsets = offsets.first((num_lists + 1) * sizeof(int32_t));
    const int64_t nulls =
        unravel_lists<int32_t>(rep, def, visible, max_valid, layers.has_empty(i) ? top : 0, MutableLevels(rep_out),
                               MutableLevels(def_out), offsets, bitmap.first(bitmap_bytes(num_lists)));
    if (load<int32_t>(offsets.data() + num_lists * sizeof(int32_t)) != num_values) return -1;
    rep_kept = std::move(rep_out);
    def_kept = std::move(def_out);
    rep = rep_kept;
    def = def_kept;
    max_valid = top;
    num_values = lists;
    return nulls;
  }
};

inline bool unravel_layers(Levels rep, Levels def, Bytes layer_numbers, int64_t num_rows, int64_t num_slots,
                           MutableBytes out, std::span<int64_t> counts) {
  const Layers layers(layer_numbers);
  require(num_rows >= 0, "unravel_layers: num_rows is negative");
  check_levels(rep, def, layers.max_rep(), layers.max_def(), num_rows);
  const size_t num_entries = rep.empty() && def.empty() ? static_cast<size_t>(num_rows) : num_entries_of(rep, def);
  require(num_entries < size_t{1} << 24, "unravel_layers: too many entries");
  const size_t bitmap_size = layer_bitmap_bytes(num_entries);
  const size_t stride = bitmap_size + layer_offsets_bytes(num_entries);
  require(out.size() == layers.size() * stride, "unravel_layers: out has another size than the layers need");
  require(counts.size() == 2 * layers.size(), "unravel_layers: there must be two counts a layer");
  const int64_t slots = def.empty() ? static_cast<int64_t>(num_entries) : count_visible(def, layers.max_visible(0));
  if (slots != num_slots) return false;
  RemainingLevels levels{rep, def, 0, num_slots};
  for (size_t i = 0; i < layers.size(); ++i) {
    const MutableBytes own = out.subspan(i * stride, stride);
    const MutableBytes bitmap = own.first(bitmap_size);
    const int64_t nulls = layers.is_list(i) ? levels.take_lists(layers, i, bitmap, own.subspan(bitmap_size))
                                            : levels.take_item(layers, i, bitmap);
    if (nulls < 0) return false;
    counts[2 * i] = levels.num_values;
    counts[2 * i + 1] = nulls;
  }
  return levels.num_values == num_rows;
}

}  // namespace lancelet
