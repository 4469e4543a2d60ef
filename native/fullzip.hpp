// Full-zip pages: one record per entry, control word and then the value (structural.md 6).
//
//   fixed width     visible: word | value          not visible: word
//   any length      visible, valid: word | length | value          null, or not visible: word
#pragma once

#include "levels.hpp"

namespace lancelet {

// The shape of the records of a page. Without lengths they have one width, which is 0 for nulls that are not stored.
struct RecordForm {
  unsigned bits_rep;
  unsigned bits_def;
  uint32_t max_rep;
  uint32_t max_def;
  uint32_t max_visible;
  size_t value_bytes;
  size_t length_bytes;

  size_t word_bytes() const {
    const unsigned total = bits_rep + bits_def;
    return total == 0 ? 0 : total <= 8 ? 1 : total <= 16 ? 2 : 4;
  }
};

inline RecordForm record_form(int64_t bits_rep, int64_t bits_def, int64_t max_rep, int64_t max_def, int64_t max_visible,
                              int64_t value_bytes, int64_t length_bytes) {
  require(bits_rep >= 0 && bits_rep <= 16 && bits_def >= 0 && bits_def <= 16, "levels have 0 to 16 bits");
  require(value_bytes >= 0 && (length_bytes == 0 || length_bytes == 4 || length_bytes == 8),
          "lengths have 4 or 8 bytes");
  require(value_bytes == 0 || length_bytes == 0, "records have either one width or lengths");
  require(value_bytes + length_bytes + bits_rep + bits_def > 0, "records have at least one byte");
  require(bits_rep > 0 || max_rep == 0, "lists need repetition levels");
  return {static_cast<unsigned>(bits_rep),
          static_cast<unsigned>(bits_def),
          as_level(max_rep),
          as_level(max_def),
          as_level(max_visible),
          static_cast<size_t>(value_bytes),
          static_cast<size_t>(length_bytes)};
}

template <size_t Bytes>
inline uint64_t load_unsigned(const uint8_t* from) {
  uint64_t value = 0;
  if constexpr (Bytes > 0) std::memcpy(&value, from, Bytes);
  return value;
}

// Calls `action` with the two sizes as constants, so that the loops within have none of the decisions.
template <class Action>
inline auto with_sizes(const RecordForm& form, Action action) {
  const auto with_length = [&]<size_t Word>(std::integral_constant<size_t, Word> word) {
    switch (form.length_bytes) {
      case 0: return action(word, std::integral_constant<size_t, 0>());
      case 4: return action(word, std::integral_constant<size_t, 4>());
      default: return action(word, std::integral_constant<size_t, 8>());
    }
  };
  switch (form.word_bytes()) {
    case 0: return with_length(std::integral_constant<size_t, 0>());
    case 1: return with_length(std::integral_constant<size_t, 1>());
    case 2: return with_length(std::integral_constant<size_t, 2>());
    default: return with_length(std::integral_constant<size_t, 4>());
  }
}

// ---------------------------------------------------------------- encoding

// Unsigned offsets of 4 or 8 bytes.
class LengthOffsets {
 public:
  LengthOffsets(Bytes bytes, size_t width) : bytes_(bytes), width_(width) {
    require(bytes.size() >= width && bytes.size() % width == 0, "there must be num_values + 1 offsets");
  }
  size_t num_values() const { return bytes_.size() / width_ - 1; }
  uint64_t operator[](size_t i) const {
    return width_ == 4 ? load<uint32_t>(bytes_.data() + 4 * i) : load<uint64_t>(bytes_.data() + 8 * i);
  }

 private:
  Bytes bytes_;
  size_t width_;
};

inline int64_t zip_variable_size(Levels def, int64_t max_visible, Bytes offsets, int64_t length_bytes,
                                 int64_t word_bytes, int64_t num_entries) {
  require(length_bytes == 4 || length_bytes == 8, "lengths have 4 or 8 bytes");
  require(word_bytes >= 0 && word_bytes <= 4 && num_entries >= 0, "a size is negative");
  const uint16_t visible = as_level(max_visible);
  const LengthOffsets ends(offsets, static_cast<size_t>(length_bytes));
  const size_t num_values = ends.num_values();
  const auto words = static_cast<uint64_t>(num_entries) * static_cast<uint64_t>(word_bytes);
  if (def.empty()) {
    require(ends[num_values] >= ends[0], "the offsets decrease");
    return static_cast<int64_t>(words + num_values * static_cast<uint64_t>(length_bytes) + ends[num_values] - ends[0]);
  }
  uint64_t size = words;
  size_t slot = 0;
  for (uint16_t level : def) {
    if (level > visible) continue;
    require(slot < num_values, "more visible entries than values");
    if (level == 0) {
      require(ends[slot + 1] >= ends[slot], "the offsets decrease");
      size += static_cast<uint64_t>(length_bytes) + ends[slot + 1] - ends[slot];
    }
    ++slot;
  }
  require(slot == num_values, "fewer visible entries than values");
  return static_cast<int64_t>(size);
}

// Writes the control words and notes where rows start; `put_value` writes what follows the word of a visible entry.
template <size_t WordBytes, class PutValue>
inline void zip_entries(Levels rep, Levels def, const RecordForm& form, size_t num_entries, MutableBytes out,
                        std::span<int64_t> row_starts, PutValue put_value) {
  uint8_t* at = out.data();
  uint8_t* const end = at + out.size();
  size_t row = 0;
  for (size_t entry = 0; entry < num_entries; ++entry) {
    const uint32_t r = rep.empty() ? 0u : rep[entry];
    const uint32_t d = def.empty() ? 0u : def[entry];
    require((r >> form.bits_rep) == 0 && (d >> form.bits_def) == 0, "a level does not fit its bits");
    if (!row_starts.empty() && r == form.max_rep) {
      require(row + 1 < row_starts.size(), "more rows than row_starts has room for");
      row_starts[row++] = at - out.data();
    }
    require(static_cast<size_t>(end - at) >= WordBytes, "out is too small");
    const uint32_t word = (r << form.bits_def) | d;
    if constexpr (WordBytes > 0) std::memcpy(at, &word, WordBytes);
    at += WordBytes;
    if (d <= form.max_visible) at = put_value(at, end, d);
  }
  require(at == end, "out is too large");
  if (row_starts.empty()) return;
  require(row + 1 == row_starts.size(), "fewer rows than row_starts has room for");
  row_starts[row] = at - out.data();
}

inline size_t num_zipped(Levels rep, Levels def, size_t num_values) {
  return rep.empty() && def.empty() ? num_values : num_entries_of(rep, def);
}

inline void zip_fixed(Levels rep, Levels def, int64_t bits_rep, int64_t bits_def, int64_t max_rep, int64_t max_visible,
                      Bytes values, int64_t value_bytes, MutableBytes out, std::span<int64_t> row_starts) {
  const RecordForm form = record_form(bits_rep, bits_def, max_rep, 0, max_visible, value_bytes, 0);
  const size_t width = form.value_bytes;
  require(width > 0 && values.size() % width == 0, "the values are not a whole number of values");
  const uint8_t* value = values.data();
  const uint8_t* const last = value + values.size();
  const auto put = [&](uint8_t* at, uint8_t* end, uint32_t) {
    require(value != last, "more visible entries than values");
    require(static_cast<size_t>(end - at) >= width, "out is too small");
    std::memcpy(at, value, width);
    value += width;
    return at + width;
  };
  with_sizes(form, [&](auto word, auto) {
    zip_entries<decltype(word)::value>(rep, def, form, num_zipped(rep, def, values.size() / width), out, row_starts,
                                       put);
  });
  require(value == last, "fewer visible entries than values");
}

inline void zip_variable(Levels rep, Levels def, int64_t bits_rep, int64_t bits_def, int64_t max_rep,
                         int64_t max_visible, Bytes offsets, Bytes data, int64_t length_bytes, MutableBytes out,
                         std::span<int64_t> row_starts) {
  const RecordForm form = record_form(bits_rep, bits_def, max_rep, 0, max_visible, 0, length_bytes);
  const size_t width = form.length_bytes;
  const LengthOffsets ends(offsets, width);
  const size_t num_values = ends.num_values();
  size_t slot = 0;
  const auto put = [&](uint8_t* at, uint8_t* end, uint32_t level) {
    require(slot < num_values, "more visible entries than values");
    const uint64_t start = ends[slot];
    const uint64_t stop = ends[++slot];
    require(start <= stop && stop <= data.size(), "an offset points outside of the data");
    if (level != 0) return at;
    const auto length = static_cast<size_t>(stop - start);
    require(static_cast<size_t>(end - at) >= width && static_cast<size_t>(end - at) - width >= length,
            "out is too small");
    std::memcpy(at, &length, width);
    if (length > 0) std::memcpy(at + width, data.data() + start, length);
    return at + width + length;
  };
  with_sizes(form, [&](auto word, auto) {
    zip_entries<decltype(word)::value>(rep, def, form, num_zipped(rep, def, num_values), out, row_starts, put);
  });
  require(slot == num_values, "fewer visible entries than values");
}

// ---------------------------------------------------------------- decoding

// Reads the records of rows, each of which must fill exactly its part. `sink.entry(rep, def)` is called for every
// record and `sink.slot(value, size)` for every visible one.
template <size_t WordBytes, size_t LengthBytes, class Sink>
void read_rows(std::span<const Bytes> parts, std::span<const int64_t> row_counts, std::span<const int64_t> row_offsets,
               const RecordForm& form, Sink& sink) {
  require(parts.size() == row_counts.size(), "one row count per part");
  const uint64_t def_mask = (uint64_t{1} << form.bits_def) - 1;
  size_t row = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Bytes part = parts[i];
    require(row_counts[i] >= 0 && static_cast<uint64_t>(row_counts[i]) <= row_offsets.size() - row,
            "fewer row offsets than rows");
    const size_t last_row = row + static_cast<size_t>(row_counts[i]);
    require(row == last_row || row_offsets[row] == 0, "the first row of a part must start at 0");
    check_data(row < last_row || part.empty(), "there are records and no rows");
    for (; row < last_row; ++row) {
      const int64_t start = row_offsets[row];
      const int64_t stop = row + 1 < last_row ? row_offsets[row + 1] : static_cast<int64_t>(part.size());
      check_data(0 <= start && start < stop && static_cast<uint64_t>(stop) <= part.size(),
                 "the rows of a page overlap or are cut off");
      const uint8_t* at = part.data() + start;
      const uint8_t* const end = part.data() + stop;
      bool first = true;
      do {
        check_data(static_cast<size_t>(end - at) >= WordBytes, "a control word is cut off");
        const uint64_t word = load_unsigned<WordBytes>(at);
        at += WordBytes;
        const uint64_t rep = word >> form.bits_def;
        const uint64_t def = word & def_mask;
        check_data(rep <= form.max_rep && def <= form.max_def, "a level is larger than the layers allow");
        check_data((rep == form.max_rep) == first, "a row does not start where the repetition index says");
        first = false;
        sink.entry(static_cast<uint16_t>(rep), static_cast<uint16_t>(def));
        if (def > form.max_visible) continue;
        size_t size = form.value_bytes;
        if constexpr (LengthBytes > 0) {
          size = 0;
          if (def == 0) {
            check_data(static_cast<size_t>(end - at) >= LengthBytes, "the length of a value is cut off");
            size = static_cast<size_t>(load_unsigned<LengthBytes>(at));
            at += LengthBytes;
          }
        }
        check_data(size <= static_cast<size_t>(end - at), "a value is longer than its row");
        sink.slot(at, size);
        at += size;
      } while (at < end);
    }
  }
  require(row == row_offsets.size(), "more row offsets than rows");
}

struct CountRecords {
  size_t num_entries = 0;
  size_t num_slots = 0;
  size_t num_bytes = 0;

  void entry(uint16_t, uint16_t) { ++num_entries; }
  void slot(const uint8_t*, size_t size) {
    ++num_slots;
    num_bytes += size;
  }
};

inline std::tuple<int64_t, int64_t, int64_t> unzip_sizes(std::span<const Bytes> parts,
                                                         std::span<const int64_t> row_counts,
                                                         std::span<const int64_t> row_offsets, const RecordForm& form) {
  CountRecords count;
  with_sizes(form, [&](auto word, auto length) {
    read_rows<decltype(word)::value, decltype(length)::value>(parts, row_counts, row_offsets, form, count);
  });
  return {static_cast<int64_t>(count.num_entries), static_cast<int64_t>(count.num_slots),
          static_cast<int64_t>(count.num_bytes)};
}

// Takes the records apart. The values may go to the front of the only part: they never get ahead of the records, of
// which they are the smaller part. The outputs were sized by what the records promise, so a lack of room is the
// records' fault.
template <size_t LengthBytes>
struct TakeRecords {
  MutableLevels rep;
  MutableLevels def;
  MutableBytes offsets;
  MutableBytes values;
  size_t num_entries = 0;
  size_t num_slots = 0;
  size_t num_bytes = 0;

  void entry(uint16_t r, uint16_t d) {
    check_data((rep.empty() || num_entries < rep.size()) && (def.empty() || num_entries < def.size()),
               "there are more records than entries");
    if (!rep.empty()) rep[num_entries] = r;
    if (!def.empty()) def[num_entries] = d;
    ++num_entries;
  }

  void slot(const uint8_t* value, size_t size) {
    check_data(size <= values.size() - num_bytes, "the values are larger than the room for them");
    if (size > 0) std::memmove(values.data() + num_bytes, value, size);
    num_bytes += size;
    ++num_slots;
    if constexpr (LengthBytes > 0) {
      check_data(num_slots < offsets.size() / LengthBytes, "there are more values than offsets");
      std::memcpy(offsets.data() + num_slots * LengthBytes, &num_bytes, LengthBytes);
    }
  }
};

inline void unzip_rows(std::span<const Bytes> parts, std::span<const int64_t> row_counts,
                       std::span<const int64_t> row_offsets, const RecordForm& form, MutableLevels rep_out,
                       MutableLevels def_out, MutableBytes offsets_out, MutableBytes values_out) {
  with_sizes(form, [&](auto word, auto length) {
    constexpr size_t length_bytes = decltype(length)::value;
    if constexpr (length_bytes > 0) {
      require(offsets_out.size() >= length_bytes && offsets_out.size() % length_bytes == 0,
              "there must be num_slots + 1 offsets");
      require(length_bytes == 8 || values_out.size() <= 0xFFFFFFFFu, "the values are too large for 32-bit offsets");
      std::memset(offsets_out.data(), 0, length_bytes);
    } else {
      require(offsets_out.empty(), "values of one width have no offsets");
    }
    TakeRecords<length_bytes> take{rep_out, def_out, offsets_out, values_out};
    read_rows<decltype(word)::value, length_bytes>(parts, row_counts, row_offsets, form, take);
    check_data((rep_out.empty() || take.num_entries == rep_out.size()) &&
                   (def_out.empty() || take.num_entries == def_out.size()),
               "there are fewer records than entries");
    check_data(take.num_bytes == values_out.size(), "the values are smaller than the room for them");
    if constexpr (length_bytes > 0) {
      check_data((take.num_slots + 1) * length_bytes == offsets_out.size(), "there are fewer values than offsets");
    }
  });
}

inline void unzip_fixed(std::span<const Bytes> parts, int64_t bits_def, int64_t max_def, int64_t value_bytes,
                        MutableLevels def_out, MutableBytes values_out) {
  const RecordForm form = record_form(0, bits_def, 0, max_def, max_def, value_bytes, 0);
  const size_t width = form.value_bytes;
  const size_t record = form.word_bytes() + width;
  size_t num_records = 0;
  for (const Bytes part : parts) {
    check_data(part.size() % record == 0, "the records are not a whole number of records");
    num_records += part.size() / record;
  }
  require(width == 0 ? values_out.empty() : values_out.size() % width == 0 && values_out.size() / width == num_records,
          "values_out must have one value per record");
  require(def_out.size() == (bits_def > 0 ? num_records : 0), "def_out must have one level per record");
  uint8_t* value = values_out.data();
  uint16_t* level = def_out.data();
  uint32_t largest = 0;
  for (const Bytes part : parts) {
    if (bits_def == 0) {
      if (!part.empty()) std::memmove(value, part.data(), part.size());
      value += part.size();
      continue;
    }
    const uint8_t* const end = part.data() + part.size();
    for (const uint8_t* at = part.data(); at < end; at += record, value += width) {
      const uint32_t def = bits_def <= 8 ? *at : load<uint16_t>(at);
      largest = std::max(largest, def);
      *level++ = static_cast<uint16_t>(def);
      if (width > 0) std::memmove(value, at + (record - width), width);
    }
  }
  check_data(largest <= form.max_def, "a definition level is larger than the layers allow");
}

}  // namespace lancelet
