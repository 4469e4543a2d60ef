// Repetition and definition levels from structure, and structure from levels (structural.md 4).
//
// Levels are uint16, one per entry. An absent vector is an empty span and means "all zero"; an absent bitmap means "all
// ones".
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>

#include "flat.hpp"
#include "offsets.hpp"
#include "span.hpp"

namespace lancelet {

using Levels = std::span<const uint16_t>;
using MutableLevels = std::span<uint16_t>;

// `num_bits` bits of an Arrow bitmap, from bit `offset` on.
class Bitmap {
 public:
  Bitmap(Bytes bytes, int64_t offset, size_t num_bits)
      : bytes_(bytes), first_(static_cast<size_t>(offset)), num_bits_(num_bits) {
    require(offset >= 0, "the bit offset is negative");
    const size_t capacity = bytes.size() * 8;
    require(bytes.empty() || (first_ <= capacity && num_bits <= capacity - first_), "the bitmap is too short");
  }

  size_t size() const { return num_bits_; }
  bool absent() const { return bytes_.empty(); }

  bool operator[](size_t i) const {
    if (bytes_.empty()) return true;
    const size_t bit = first_ + i;
    return ((bytes_[bit >> 3] >> (bit & 7)) & 1) != 0;
  }

  // Bits 8 * group to 8 * group + 7, all of which must exist.
  uint8_t octet(size_t group) const {
    if (bytes_.empty()) return 0xFF;
    const size_t bit = first_ + 8 * group;
    const unsigned shift = bit & 7;
    if (shift == 0) return bytes_[bit >> 3];
    return static_cast<uint8_t>((bytes_[bit >> 3] >> shift) | (bytes_[(bit >> 3) + 1] << (8 - shift)));
  }

  int64_t count_zeros() const {
    int64_t zeros = 0;
    const size_t groups = num_bits_ / 8;
    size_t group = 0;
    for (; group + 8 <= groups; group += 8) {
      uint64_t word = 0;
      for (size_t i = 0; i < 8; ++i) word |= static_cast<uint64_t>(octet(group + i)) << (8 * i);
      zeros += 64 - std::popcount(word);
    }
    for (; group < groups; ++group) zeros += 8 - std::popcount(octet(group));
    for (size_t i = groups * 8; i < num_bits_; ++i) zeros += (*this)[i] ? 0 : 1;
    return zeros;
  }

 private:
  Bytes bytes_;
  size_t first_;
  size_t num_bits_;
};

// Writes bits one after the other; the memory must have room for all of them.
class BitWriter {
 public:
  explicit BitWriter(MutableBytes out) : out_(out.data()) {}

  void put(bool bit) {
    word_ |= static_cast<uint64_t>(bit) << used_;
    if (++used_ == 64) {
      store(out_, word_);
      out_ += 8;
      ones_ += std::popcount(word_);
      word_ = 0;
      used_ = 0;
    }
  }

  // Writes the bits still held, the rest of the last byte as zeros; returns the number of ones of all.
  int64_t finish() {
    ones_ += std::popcount(word_);
    for (; used_ > 0; used_ -= std::min(used_, 8u), word_ >>= 8) *out_++ = static_cast<uint8_t>(word_);
    return ones_;
  }

 private:
  uint8_t* out_;
  uint64_t word_ = 0;
  unsigned used_ = 0;
  int64_t ones_ = 0;
};

// Packs eight bytes, each 0 or 1, into bits; the first becomes the lowest.
inline uint8_t pack_flags(const uint8_t* flags) {
  // The product moves the lowest bit of byte i to bit 56 + i.
  return static_cast<uint8_t>((load<uint64_t>(flags) * 0x0102040810204080u) >> 56);
}

// Writes bits of which only some are wanted, without a branch on that: they are bytes first, since a store and an
// addition for each cost less than shifts by distances that depend on the ones before. The memory must have room for
// all that are wanted.
class BitSieve {
 public:
  // Most positions between two calls of flush().
  static constexpr size_t block = 2048;

  explicit BitSieve(MutableBytes out) : out_(out.data()) {}

  void put_if(bool wanted, bool bit) {
    flags_[used_] = bit ? 1 : 0;
    used_ += static_cast<size_t>(wanted);
  }

  void flush() {
    size_t packed = 0;
    for (; packed + 8 <= used_; packed += 8) pack(packed);
    std::copy_n(flags_.data() + packed, used_ - packed, flags_.data());
    used_ -= packed;
  }

  // Writes what is left, the rest of the last byte as zeros; returns the number of ones of all.
  int64_t finish() {
    flush();
    std::fill_n(flags_.data() + used_, 8 - used_, uint8_t{0});
    if (used_ > 0) pack(0);
    used_ = 0;
    return ones_;
  }

 private:
  void pack(size_t first) {
    *out_ = pack_flags(flags_.data() + first);
    ones_ += std::popcount(*out_++);
  }

  uint8_t* out_;
  size_t used_ = 0;
  int64_t ones_ = 0;
  std::array<uint8_t, block + 8> flags_;  // up to seven are left by flush()
};

inline uint16_t as_level(int64_t value) {
  require(value >= 0 && value <= 0xFFFF, "a level must be within 0 and 65535");
  return static_cast<uint16_t>(value);
}

// Number of positions 0 to num - 1 that fulfil the predicate; 16-bit counters keep the loop in vector registers.
template <class Predicate>
inline size_t count_if_position(size_t num, Predicate predicate) {
  constexpr size_t block = 1 << 15;
  size_t total = 0;
  for (size_t start = 0; start < num; start += block) {
    const size_t stop = std::min(num, start + block);
    uint16_t count = 0;
    for (size_t i = start; i < stop; ++i) count = static_cast<uint16_t>(count + (predicate(i) ? 1 : 0));
    total += count;
  }
  return total;
}

inline size_t num_entries_of(Levels rep, Levels def) {
  require(rep.empty() || def.empty() || rep.size() == def.size(), "there must be as many rep as def levels");
  return rep.empty() ? def.size() : rep.size();
}

inline int64_t count_nulls(Bytes validity, int64_t bit_offset, int64_t num_values) {
  require(num_values >= 0, "num_values is negative");
  const Bitmap bitmap(validity, bit_offset, static_cast<size_t>(num_values));
  return bitmap.absent() ? 0 : bitmap.count_zeros();
}

inline int64_t count_rows(Levels rep, int64_t max_rep) {
  const uint16_t level = as_level(max_rep);
  return static_cast<int64_t>(count_if_position(rep.size(), [=](size_t i) { return rep[i] == level; }));
}

inline int64_t count_visible(Levels def, int64_t max_visible) {
  const uint16_t level = as_level(max_visible);
  return static_cast<int64_t>(count_if_position(def.size(), [=](size_t i) { return def[i] <= level; }));
}

inline void row_starts(Levels rep, int64_t max_rep, std::span<int64_t> out) {
  const uint16_t level = as_level(max_rep);
  require(!out.empty(), "row_starts: out must have num_rows + 1 items");
  const size_t num_rows = out.size() - 1;
  size_t row = 0;
  for (size_t i = 0; i < rep.size(); ++i) {
    if (rep[i] != level) continue;
    require(row < num_rows, "row_starts: more rows than out has room for");
    out[row++] = static_cast<int64_t>(i);
  }
  require(row == num_rows, "row_starts: fewer rows than out has room for");
  out[row] = static_cast<int64_t>(rep.size());
}

// ---------------------------------------------------------------- building

// Sets `level` where a bit is 0 and the level still is 0; entry i belongs to bit i.
inline void mark_zeros(MutableLevels def, const Bitmap& validity, uint16_t level) {
  static constexpr std::array<uint16_t, 8> masks{1, 2, 4, 8, 16, 32, 64, 128};
  const size_t groups = def.size() / 8;
  for (size_t group = 0; group < groups; ++group) {
    const uint16_t bits = validity.octet(group);
    uint16_t* part = def.data() + 8 * group;
    for (size_t i = 0; i < 8; ++i) {
      const uint16_t mark = (bits & masks[i]) != 0 ? uint16_t{0} : level;
      part[i] = part[i] != 0 ? part[i] : mark;
    }
  }
  for (size_t i = groups * 8; i < def.size(); ++i) {
    if (def[i] == 0 && !validity[i]) def[i] = level;
  }
}

inline void levels_from_validity(Bytes validity, int64_t bit_offset, int64_t num_values, int64_t level,
                                 MutableLevels out) {
  require(num_values >= 0 && out.size() == static_cast<size_t>(num_values),
          "levels_from_validity: one level per value");
  std::fill(out.begin(), out.end(), uint16_t{0});
  const Bitmap bitmap(validity, bit_offset, out.size());
  if (!bitmap.absent()) mark_zeros(out, bitmap, as_level(level));
}

inline void mark_nulls(MutableLevels def, int64_t max_open, Bytes validity, int64_t bit_offset, int64_t num_values,
                       int64_t level) {
  const uint16_t open = as_level(max_open);
  const uint16_t null = as_level(level);
  require(num_values >= 0 && count_visible(def, max_open) == num_values, "mark_nulls: one value per open entry");
  const Bitmap bitmap(validity, bit_offset, static_cast<size_t>(num_values));
  if (bitmap.absent()) return;
  if (bitmap.size() == def.size()) return mark_zeros(def, bitmap, null);
  size_t value = 0;
  for (uint16_t& entry : def) {
    if (entry > open) continue;
    if (!bitmap[value++] && entry == 0) entry = null;
  }
}

inline std::tuple<int64_t, int64_t, int64_t> scan_lists(std::span<const int64_t> offsets, Bytes validity,
                                                        int64_t bit_offset) {
  require(!offsets.empty(), "scan_lists: there must be num_lists + 1 offsets");
  const size_t num_lists = offsets.size() - 1;
  const Bitmap bitmap(validity, bit_offset, num_lists);
  const auto empty =
      static_cast<int64_t>(count_if_position(num_lists, [=](size_t i) { return offsets[i] == offsets[i + 1]; }));
  if (bitmap.absent()) return {0, empty, static_cast<int64_t>(num_lists) - empty};
  const int64_t nulls = bitmap.count_zeros();
  int64_t both = 0;
  if (nulls > 0 && empty > 0) {
    for (size_t i = 0; i < num_lists; ++i) both += offsets[i] == offsets[i + 1] && !bitmap[i] ? 1 : 0;
  }
  return {nulls, empty - both, static_cast<int64_t>(num_lists) - empty};
}

inline void open_lists(Levels rep, Levels def, int64_t max_open, std::span<const int64_t> offsets, Bytes validity,
                       int64_t bit_offset, int64_t rep_level, int64_t null_level, int64_t empty_level,
                       MutableLevels rep_out, MutableLevels def_out) {
  const uint16_t open = as_level(max_open);
  const uint16_t own_rep = as_level(rep_level);
  const uint16_t null = as_level(null_level);
  const uint16_t empty = as_level(empty_level);
  require(!offsets.empty(), "open_lists: there must be num_lists + 1 offsets");
  require(def_out.empty() || def_out.size() == rep_out.size(), "open_lists: the outputs must have one size");
  require(!def_out.empty() || rep_out.empty() || def.empty(), "open_lists: def_out is missing");
  const size_t num_lists = offsets.size() - 1;
  const Bitmap valid(validity, bit_offset, num_lists);
  const size_t num_entries = rep.empty() && def.empty() ? num_lists : num_entries_of(rep, def);
  std::fill(rep_out.begin(), rep_out.end(), uint16_t{0});
  std::fill(def_out.begin(), def_out.end(), uint16_t{0});

  size_t list = 0;
  size_t at = 0;
  for (size_t entry = 0; entry < num_entries; ++entry) {
    uint16_t r = rep.empty() ? uint16_t{0} : rep[entry];
    uint16_t d = def.empty() ? uint16_t{0} : def[entry];
    size_t num_children = 1;
    if (d <= open) {
      require(list < num_lists, "open_lists: more open entries than lists");
      require(offsets[list] >= 0 && offsets[list] <= offsets[list + 1], "open_lists: the offsets decrease");
      const auto length = static_cast<size_t>(offsets[list + 1] - offsets[list]);
      const bool is_valid = valid[list++];
      r = r != 0 ? r : own_rep;
      if (d == 0 && is_valid && length > 0) {
        num_children = length;
      } else {
        require(length == 0, "open_lists: a list that is null or lies in a null struct has items");
        d = d != 0 ? d : is_valid ? empty : null;
        require(d != 0, "open_lists: a null or empty list has no level");
      }
    }
    require(num_children <= rep_out.size() - at, "open_lists: the outputs are too small");
    rep_out[at] = r;
    if (!def_out.empty()) def_out[at] = d;
    require(d == 0 || !def_out.empty(), "open_lists: def_out is missing");
    at += num_children;
  }
  require(list == num_lists, "open_lists: fewer open entries than lists");
  require(at == rep_out.size(), "open_lists: the outputs are too large");
}

inline void repeat_fixed(Levels rep, Levels def, int64_t max_open, int64_t dimension, MutableLevels rep_out,
                         MutableLevels def_out) {
  const uint16_t open = as_level(max_open);
  const size_t num_entries = num_entries_of(rep, def);
  require(dimension >= 1, "repeat_fixed: the dimension must be positive");
  require(rep_out.empty() == rep.empty() && def_out.empty() == def.empty(),
          "repeat_fixed: an output is missing or too many");
  const size_t num_out = num_entries_of(rep_out, def_out);
  size_t at = 0;
  for (size_t entry = 0; entry < num_entries; ++entry) {
    const uint16_t d = def.empty() ? uint16_t{0} : def[entry];
    const size_t copies = d <= open ? static_cast<size_t>(dimension) : 1;
    require(copies <= num_out - at, "repeat_fixed: the outputs are too small");
    if (!rep.empty()) {
      rep_out[at] = rep[entry];
      std::fill_n(rep_out.begin() + static_cast<std::ptrdiff_t>(at) + 1, copies - 1, uint16_t{0});
    }
    if (!def.empty()) std::fill_n(def_out.begin() + static_cast<std::ptrdiff_t>(at), copies, d);
    at += copies;
  }
  require(at == num_out, "repeat_fixed: the outputs are too large");
}

// ---------------------------------------------------------------- unravelling

inline void check_levels(Levels rep, Levels def, int64_t max_rep, int64_t max_def, int64_t num_rows) {
  require(num_rows >= 0, "num_rows is negative");
  const uint16_t top_rep = as_level(max_rep);
  const uint16_t top_def = as_level(max_def);
  const auto rows = static_cast<size_t>(num_rows);
  check_data(def.empty() || rep.empty() || def.size() == rep.size(),
             "the page has more repetition than definition levels, or fewer");
  uint16_t largest = 0;
  for (uint16_t level : def) largest = std::max(largest, level);
  check_data(largest <= top_def, "a definition level is larger than the layers allow");
  if (top_rep == 0) {
    check_data(rep.empty(), "the page has repetition levels but no list layer");
    check_data(def.empty() || def.size() == rows, "the number of definition levels is not the number of rows");
    return;
  }
  largest = 0;
  for (uint16_t level : rep) largest = std::max(largest, level);
  check_data(largest <= top_rep, "a repetition level is larger than the layers allow");
  check_data(rep.empty() || rep[0] == top_rep, "the first entry does not start a row");
  check_data(count_rows(rep, max_rep) == num_rows, "the number of entries that start a row is not the number of rows");
  check_data(!rep.empty() || def.empty(), "the page has a list layer but no repetition levels");
}

inline int64_t validity_from_levels(Levels def, int64_t max_valid, MutableBytes out) {
  const uint16_t valid = as_level(max_valid);
  require(out.size() == bitmap_bytes(def.size()), "validity_from_levels: out must have one bit per value");
  int64_t ones = 0;
  const size_t groups = def.size() / 8;
  for (size_t group = 0; group < groups; ++group) {
    std::array<uint8_t, 8> flags;
    for (size_t i = 0; i < 8; ++i) flags[i] = def[8 * group + i] <= valid ? 1 : 0;
    out[group] = pack_flags(flags.data());
    ones += std::popcount(out[group]);
  }
  BitWriter rest(out.subspan(groups));
  for (size_t i = groups * 8; i < def.size(); ++i) rest.put(def[i] <= valid);
  return static_cast<int64_t>(def.size()) - ones - rest.finish();
}

inline int64_t unravel_validity(Levels def, int64_t max_visible, int64_t max_valid, int64_t num_values,
                                MutableBytes out) {
  const uint16_t visible = as_level(max_visible);
  const uint16_t valid = as_level(max_valid);
  require(num_values >= 0 && count_visible(def, max_visible) == num_values, "unravel_validity: num_values is wrong");
  require(out.size() == bitmap_bytes(static_cast<size_t>(num_values)),
          "unravel_validity: out must have one bit per value");
  if (static_cast<size_t>(num_values) == def.size()) return validity_from_levels(def, max_valid, out);
  BitSieve bits(out);
  for (size_t start = 0; start < def.size(); start += BitSieve::block) {
    for (uint16_t level : def.subspan(start, std::min(BitSieve::block, def.size() - start)))
      bits.put_if(level <= visible, level <= valid);
    bits.flush();
  }
  return num_values - bits.finish();
}

inline std::tuple<int64_t, int64_t> count_lists(Levels rep, Levels def, int64_t max_visible) {
  const uint16_t visible = as_level(max_visible);
  num_entries_of(rep, def);
  const size_t remaining = count_if_position(rep.size(), [=](size_t i) { return rep[i] != 0; });
  if (def.empty()) return {static_cast<int64_t>(remaining), static_cast<int64_t>(remaining)};
  const size_t lists = count_if_position(rep.size(), [=](size_t i) { return (rep[i] != 0) & (def[i] <= visible); });
  return {static_cast<int64_t>(remaining), static_cast<int64_t>(lists)};
}

// One list layer of the levels. Every member is a loop without branches on levels; those that look at neighbours or at
// nothing but the entry itself vectorise.
template <bool HasDef>
struct ListLayer {
  Levels rep;
  Levels def;
  uint16_t visible;
  uint16_t child;
  uint16_t empty;

  uint16_t level(size_t i) const { return HasDef ? def[i] : uint16_t{0}; }
  bool is_child(size_t i) const { return level(i) <= child; }
  bool is_list(size_t i) const { return (rep[i] != 0) & (level(i) <= visible); }
  bool is_null(size_t i) const { return is_list(i) & (level(i) > child) & ((empty == 0) | (level(i) != empty)); }

  // An entry that begins no list is an item, and so is the one before it: else its list is null, empty or not begun.
  void check() const {
    uint16_t wrong = 0;
    if (!rep.empty()) wrong = rep[0] == 0;
    for (size_t i = 1; i < rep.size(); ++i)
      wrong = static_cast<uint16_t>(wrong | ((rep[i] == 0) & !(is_child(i) & is_child(i - 1))));
    check_data(wrong == 0, "an entry continues a list that is not open, or a null or empty list continues another");
  }

  size_t count_lists() const {
    return count_if_position(rep.size(), [this](size_t i) { return is_list(i); });
  }
  // `out` has room for one more than there are lists, so that every entry can store where the next list goes.
  template <class Offset>
  void put_offsets(uint8_t* out) const {
    Offset num_children = 0;
    for (size_t i = 0; i < rep.size(); ++i) {
      store(out, num_children);
      out += is_list(i) ? sizeof(Offset) : 0;
      num_children = static_cast<Offset>(num_children + is_child(i));
    }
    store(out, num_children);
  }

  // The same, and which lists are valid; returns the number of nulls. What is asked of a level is found for a block of
  // entries at once, in vector registers.
  template <class Offset>
  int64_t put_lists(MutableBytes offsets_out, MutableBytes validity_out) const {
    constexpr uint8_t list = 1, item = 2, valid = 4;
    std::array<uint8_t, BitSieve::block> codes;
    BitSieve bits(validity_out);
    uint8_t* out = offsets_out.data();
    Offset num_children = 0;
    for (size_t start = 0; start < rep.size(); start += BitSieve::block) {
      const size_t num = std::min(BitSieve::block, rep.size() - start);
      for (size_t i = 0; i < num; ++i)
        codes[i] = static_cast<uint8_t>((is_list(start + i) ? list : 0) | (is_child(start + i) ? item : 0) |
                                        (is_null(start + i) ? 0 : valid));
      for (size_t i = 0; i < num; ++i) {
        const uint8_t code = codes[i];
        store(out, num_children);
        out += (code & list) * sizeof(Offset);
        num_children = static_cast<Offset>(num_children + ((code & item) != 0));
        bits.put_if((code & list) != 0, (code & valid) != 0);
      }
      bits.flush();
    }
    store(out, num_children);
    const auto num_lists = static_cast<int64_t>(offsets_out.size() / sizeof(Offset)) - 1;
    return num_lists - bits.finish();
  }

  void put_remaining(MutableLevels rep_out, MutableLevels def_out) const {
    size_t at = 0;
    for (size_t i = 0; i < rep.size() && at < rep_out.size(); ++i) {
      rep_out[at] = static_cast<uint16_t>(rep[i] - 1);
      if constexpr (HasDef) def_out[at] = def[i];
      at += rep[i] != 0;
    }
    require(at == rep_out.size(), "unravel_lists: the level outputs are too large");
  }
};

template <class Offset, bool HasDef>
int64_t unravel_lists_of(const ListLayer<HasDef>& layer, MutableLevels rep_out, MutableLevels def_out,
                         MutableBytes offsets_out, MutableBytes validity_out) {
  layer.check();
  require(layer.count_lists() == offsets_out.size() / sizeof(Offset) - 1,
          "unravel_lists: the offsets do not fit the lists");
  int64_t nulls = 0;
  if constexpr (HasDef) {
    nulls = layer.template put_lists<Offset>(offsets_out, validity_out);
  } else {
    layer.template put_offsets<Offset>(offsets_out.data());
    std::fill(validity_out.begin(), validity_out.end(), uint8_t{0xFF});
    clear_spare_bits(validity_out.data(), offsets_out.size() / sizeof(Offset) - 1);
  }
  if (!rep_out.empty()) {
    const size_t remaining = count_if_position(layer.rep.size(), [&](size_t i) { return layer.rep[i] != 0; });
    require(remaining == rep_out.size(), "unravel_lists: the level outputs do not fit the entries");
    layer.put_remaining(rep_out, def_out);
  }
  return nulls;
}

template <class Offset>
int64_t unravel_lists(Levels rep, Levels def, int64_t max_visible, int64_t max_child, int64_t empty_level,
                      MutableLevels rep_out, MutableLevels def_out, MutableBytes offsets_out,
                      MutableBytes validity_out) {
  const uint16_t visible = as_level(max_visible);
  const uint16_t child = as_level(max_child);
  const uint16_t empty = as_level(empty_level);
  num_entries_of(rep, def);
  require(def.empty() || !rep.empty(), "unravel_lists: repetition levels are missing");
  require(def_out.size() == (def.empty() ? 0 : rep_out.size()), "unravel_lists: the level outputs must have one size");
  require(offsets_out.size() >= sizeof(Offset) && offsets_out.size() % sizeof(Offset) == 0,
          "unravel_lists: there must be num_lists + 1 offsets");
  require(rep.size() <= static_cast<size_t>(max_total<Offset>), "unravel_lists: too many entries for such offsets");
  require(validity_out.size() == bitmap_bytes(offsets_out.size() / sizeof(Offset) - 1),
          "unravel_lists: validity_out must have one bit per list");
  if (def.empty())
    return unravel_lists_of<Offset, false>({rep, def, visible, child, empty}, rep_out, def_out, offsets_out,
                                           validity_out);
  return unravel_lists_of<Offset, true>({rep, def, visible, child, empty}, rep_out, def_out, offsets_out, validity_out);
}

inline void unravel_fixed(Levels rep, Levels def, int64_t max_visible, int64_t max_valid, int64_t dimension,
                          MutableLevels rep_out, MutableLevels def_out) {
  const uint16_t visible = as_level(max_visible);
  const uint16_t valid = as_level(max_valid);
  const size_t num_entries = num_entries_of(rep, def);
  require(dimension >= 1, "unravel_fixed: the dimension must be positive");
  require(rep_out.empty() == rep.empty() && def_out.empty() == def.empty(),
          "unravel_fixed: an output is missing or too many");
  const size_t num_out = num_entries_of(rep_out, def_out);
  const auto group = static_cast<size_t>(dimension);
  size_t at = 0;
  for (size_t entry = 0; entry < num_entries; ++at) {
    const uint16_t d = def.empty() ? uint16_t{0} : def[entry];
    const size_t copies = d <= visible ? group : 1;
    check_data(copies <= num_entries - entry, "the entries are not a whole number of fixed size lists");
    require(at < num_out, "unravel_fixed: the outputs are too small");
    for (size_t i = entry + 1; i < entry + copies; ++i) {
      check_data(rep.empty() || rep[i] == 0, "a list begins within a fixed size list");
      const uint16_t other = def.empty() ? uint16_t{0} : def[i];
      check_data(d <= valid ? other <= valid : other == d,
                 "the items of a fixed size list disagree whether it is null");
    }
    if (!rep.empty()) rep_out[at] = rep[entry];
    if (!def.empty()) def_out[at] = d;
    entry += copies;
  }
  require(at == num_out, "unravel_fixed: the outputs are too large");
}

}  // namespace lancelet
