// Rows of packed structs: the values of all fields of a row side by side (compressors.md 5.4).
//
// `widths` describes the fields: a positive number is the size of a field of one width, -4 and -8 stand for a field of
// any length with its length in so many bytes before it.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "offsets.hpp"
#include "span.hpp"

namespace lancelet {

// Most bytes of one field of one width, and most fields: so that no sum of widths overflows.
inline constexpr int64_t max_packed_width = int64_t{1} << 36;
inline constexpr size_t max_packed_fields = size_t{1} << 24;

// Copies that are mostly of 1, 2, 4 or 8 bytes.
inline void copy_field(uint8_t* to, const uint8_t* from, size_t size) {
  switch (size) {
    case 0: break;
    case 1: *to = *from; break;
    case 2: std::memcpy(to, from, 2); break;
    case 4: std::memcpy(to, from, 4); break;
    case 8: std::memcpy(to, from, 8); break;
    default: std::memcpy(to, from, size);
  }
}

class PackedForm {
 public:
  PackedForm(std::span<const int64_t> widths, int64_t num_rows) : widths_(widths) {
    require(!widths.empty() && widths.size() <= max_packed_fields, "a row needs at least one field");
    require(num_rows >= 0, "the number of rows is negative");
    num_rows_ = static_cast<uint64_t>(num_rows);
    for (int64_t width : widths) {
      require(width == -4 || width == -8 || (width > 0 && width <= max_packed_width),
              "a field has an impossible width");
      fixed_bytes_ += static_cast<uint64_t>(width > 0 ? width : -width);
    }
    require(num_rows_ <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / fixed_bytes_,
            "the rows are too many");
  }

  size_t num_fields() const { return widths_.size(); }
  uint64_t num_rows() const { return num_rows_; }
  bool is_variable(size_t field) const { return widths_[field] < 0; }
  // Bytes of the value, or of its length.
  size_t width(size_t field) const {
    return static_cast<size_t>(widths_[field] > 0 ? widths_[field] : -widths_[field]);
  }
  // Bytes of a row without those of values of any length.
  uint64_t fixed_bytes() const { return fixed_bytes_; }

  void require_fixed() const {
    for (size_t field = 0; field < num_fields(); ++field) require(!is_variable(field), "a field has no fixed width");
  }

  template <class View>
  void require_fields(std::span<const View> buffers) const {
    require(buffers.size() == num_fields(), "there is not one buffer a field");
  }

 private:
  std::span<const int64_t> widths_;
  uint64_t num_rows_ = 0;
  uint64_t fixed_bytes_ = 0;
};

// The offsets of one field: 4 or 8 bytes each, as its lengths.
inline uint64_t load_length(const uint8_t* from, size_t width) {
  return width == 4 ? load<uint32_t>(from) : load<uint64_t>(from);
}

inline void store_length(uint8_t* to, size_t width, uint64_t length) {
  if (width == 4) {
    store(to, static_cast<uint32_t>(length));
  } else {
    store(to, length);
  }
}

// ---- rows of one size

// Rows are worked on in groups that stay in the first cache.
inline size_t rows_per_group(uint64_t row_bytes) {
  return static_cast<size_t>(16384 / std::min<uint64_t>(row_bytes, 16384));
}

template <class Copy>
void for_each_field(const PackedForm& form, Copy&& copy) {
  const uint64_t group = rows_per_group(form.fixed_bytes());
  for (uint64_t first = 0; first < form.num_rows(); first += group) {
    const uint64_t last = std::min(first + group, form.num_rows());
    size_t position = 0;
    for (size_t field = 0; field < form.num_fields(); ++field) {
      copy(field, position, first, last);
      position += form.width(field);
    }
  }
}

// Copies with a size that the compiler knows are single moves.
template <class Function>
void with_width(size_t width, Function&& function) {
  switch (width) {
    case 1: function(std::integral_constant<size_t, 1>{}); break;
    case 2: function(std::integral_constant<size_t, 2>{}); break;
    case 4: function(std::integral_constant<size_t, 4>{}); break;
    case 8: function(std::integral_constant<size_t, 8>{}); break;
    case 16: function(std::integral_constant<size_t, 16>{}); break;
    default: function(width);
  }
}

inline void packed_interleave(std::span<const Bytes> values, std::span<const int64_t> widths, int64_t num_rows,
                              MutableBytes out) {
  const PackedForm form(widths, num_rows);
  form.require_fixed();
  form.require_fields(values);
  for (size_t field = 0; field < form.num_fields(); ++field)
    require(values[field].size() == form.num_rows() * form.width(field), "the values do not fit the number of rows");
  require(out.size() == form.num_rows() * form.fixed_bytes(), "the output does not fit the number of rows");
  for_each_field(form, [&](size_t field, size_t position, uint64_t first, uint64_t last) {
    with_width(form.width(field), [&](auto width) {
      const uint8_t* from = values[field].data();
      uint8_t* to = out.data() + position;
      for (uint64_t row = first; row < last; ++row)
        std::memcpy(to + row * form.fixed_bytes(), from + row * width, width);
    });
  });
}

inline void packed_split(Bytes data, std::span<const int64_t> widths, int64_t num_rows,
                         std::span<const MutableBytes> out_values) {
  const PackedForm form(widths, num_rows);
  form.require_fixed();
  form.require_fields(out_values);
  for (size_t field = 0; field < form.num_fields(); ++field)
    require(out_values[field].size() == form.num_rows() * form.width(field),
            "the output does not fit the number of rows");
  require(data.size() == form.num_rows() * form.fixed_bytes(), "the rows do not fit their number");
  for_each_field(form, [&](size_t field, size_t position, uint64_t first, uint64_t last) {
    with_width(form.width(field), [&](auto width) {
      const uint8_t* from = data.data() + position;
      uint8_t* to = out_values[field].data();
      for (uint64_t row = first; row < last; ++row)
        std::memcpy(to + row * width, from + row * form.fixed_bytes(), width);
    });
  });
}

// ---- rows of any size, written

// Checks the offsets of all fields of any length; `data_bytes` gives the size of a field's values.
template <class DataBytes>
void check_packed_offsets(const PackedForm& form, std::span<const Bytes> offsets, DataBytes&& data_bytes) {
  form.require_fields(offsets);
  for (size_t field = 0; field < form.num_fields(); ++field) {
    if (!form.is_variable(field)) {
      require(offsets[field].empty(), "a field of one width has offsets");
      continue;
    }
    with_offsets(static_cast<int>(8 * form.width(field)), [&](auto zero) {
      const Offsets<decltype(zero)> borders(offsets[field]);
      require(borders.num_values() == form.num_rows(), "offsets: n + 1 whole integers are needed");
      borders.check(data_bytes(field));
    });
  }
}

inline void packed_encode_offsets(std::span<const Bytes> offsets, std::span<const int64_t> widths, int64_t num_rows,
                                  std::span<int64_t> out_offsets) {
  const PackedForm form(widths, num_rows);
  // Whatever the values' sizes, the sum of all rows stays countable.
  const uint64_t most = std::numeric_limits<int64_t>::max() / (2 * form.num_fields());
  require(form.num_rows() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / 2) / form.fixed_bytes(),
          "the rows are too many");
  check_packed_offsets(form, offsets, [&](size_t) { return most; });
  require(out_offsets.size() == form.num_rows() + 1, "out_offsets: n + 1 integers are needed");
  for (size_t row = 0; row < out_offsets.size(); ++row)
    out_offsets[row] = static_cast<int64_t>(row * form.fixed_bytes());
  for (size_t field = 0; field < form.num_fields(); ++field) {
    if (!form.is_variable(field)) continue;
    with_offsets(static_cast<int>(8 * form.width(field)), [&](auto zero) {
      const Offsets<decltype(zero)> borders(offsets[field]);
      for (size_t row = 0; row < out_offsets.size(); ++row)
        out_offsets[row] += static_cast<int64_t>(borders[row] - borders.first());
    });
  }
}

inline void packed_encode(std::span<const Bytes> values, std::span<const Bytes> offsets,
                          std::span<const int64_t> widths, int64_t num_rows, MutableBytes out) {
  const PackedForm form(widths, num_rows);
  form.require_fields(values);
  check_packed_offsets(form, offsets, [&](size_t field) { return values[field].size(); });
  uint64_t size = form.num_rows() * form.fixed_bytes();
  for (size_t field = 0; field < form.num_fields(); ++field) {
    const size_t width = form.width(field);
    if (form.is_variable(field)) {
      size += load_length(offsets[field].data() + form.num_rows() * width, width) -
              load_length(offsets[field].data(), width);
    } else {
      require(values[field].size() == form.num_rows() * width, "the values do not fit the number of rows");
    }
  }
  require(out.size() == size, "the output does not fit the rows");
  uint8_t* to = out.data();
  for (size_t row = 0; row < form.num_rows(); ++row) {
    for (size_t field = 0; field < form.num_fields(); ++field) {
      const size_t width = form.width(field);
      if (!form.is_variable(field)) {
        copy_field(to, values[field].data() + row * width, width);
        to += width;
        continue;
      }
      const uint8_t* borders = offsets[field].data() + row * width;
      const uint64_t start = load_length(borders, width);
      const uint64_t length = load_length(borders + width, width) - start;
      store_length(to, width, length);
      copy_field(to + width, values[field].data() + start, static_cast<size_t>(length));
      to += width + length;
    }
  }
}

// ---- rows of any size, read

// Walks all fields of all rows. Calls `value(field, row, bytes)` for every field of a row that has bytes, and
// `absent(row)` for a row without any. Whatever is handed out lies inside of its row.
template <class Value, class Absent>
void walk_packed(Bytes data, Bytes offsets, int offset_bits, const PackedForm& form, Value&& value, Absent&& absent) {
  with_offsets(offset_bits, [&](auto zero) {
    const Offsets<decltype(zero)> borders(offsets);
    require(borders.num_values() == form.num_rows(), "offsets: n + 1 whole integers are needed");
    borders.check(data.size());
    for (size_t row = 0; row < form.num_rows(); ++row) {
      Bytes rest = data.subspan(borders[row], borders[row + 1] - borders[row]);
      if (rest.empty()) {
        absent(row);
        continue;
      }
      for (size_t field = 0; field < form.num_fields(); ++field) {
        uint64_t size = form.width(field);
        check_data(size <= rest.size(), "a field of a packed struct reaches past its row");
        if (form.is_variable(field)) {
          const size_t length_bytes = form.width(field);
          size = load_length(rest.data(), length_bytes);
          rest = rest.subspan(length_bytes);
          check_data(size <= rest.size(), "a field of a packed struct reaches past its row");
        }
        value(field, row, rest.first(static_cast<size_t>(size)));
        rest = rest.subspan(static_cast<size_t>(size));
      }
      check_data(rest.empty(), "a row of a packed struct has bytes after its last field");
    }
  });
}

inline void packed_decode_offsets(Bytes data, Bytes offsets, int offset_bits, std::span<const int64_t> widths,
                                  int64_t num_rows, std::span<const MutableBytes> out_offsets) {
  const PackedForm form(widths, num_rows);
  form.require_fields(out_offsets);
  std::vector<uint64_t> totals(form.num_fields());
  std::vector<uint64_t> most(form.num_fields());
  for (size_t field = 0; field < form.num_fields(); ++field) {
    const size_t width = form.width(field);
    const bool variable = form.is_variable(field);
    require(out_offsets[field].size() == (variable ? (form.num_rows() + 1) * width : 0),
            "out_offsets: n + 1 integers are needed");
    most[field] = width == 4 ? max_total<uint32_t> : max_total<uint64_t>;
    if (variable) store_length(out_offsets[field].data(), width, 0);
  }
  const auto set = [&](size_t field, size_t row) {
    const size_t width = form.width(field);
    store_length(out_offsets[field].data() + (row + 1) * width, width, totals[field]);
  };
  walk_packed(
      data, offsets, offset_bits, form,
      [&](size_t field, size_t row, Bytes bytes) {
        if (!form.is_variable(field)) return;
        check_data(bytes.size() <= most[field] - totals[field], "the values of a field are too large for its offsets");
        totals[field] += bytes.size();
        set(field, row);
      },
      [&](size_t row) {
        for (size_t field = 0; field < form.num_fields(); ++field)
          if (form.is_variable(field)) set(field, row);
      });
}

inline void packed_decode(Bytes data, Bytes offsets, int offset_bits, std::span<const int64_t> widths, int64_t num_rows,
                          std::span<const MutableBytes> out_values) {
  const PackedForm form(widths, num_rows);
  form.require_fields(out_values);
  for (size_t field = 0; field < form.num_fields(); ++field)
    require(form.is_variable(field) || out_values[field].size() == form.num_rows() * form.width(field),
            "the output does not fit the number of rows");
  std::vector<MutableBytes> rest(out_values.begin(), out_values.end());
  walk_packed(
      data, offsets, offset_bits, form,
      [&](size_t field, size_t, Bytes bytes) {
        require(bytes.size() <= rest[field].size(), "the output does not fit the values");
        copy_field(rest[field].data(), bytes.data(), bytes.size());
        rest[field] = rest[field].subspan(bytes.size());
      },
      [&](size_t) {
        for (size_t field = 0; field < form.num_fields(); ++field) {
          if (form.is_variable(field)) continue;
          std::memset(rest[field].data(), 0, form.width(field));
          rest[field] = rest[field].subspan(form.width(field));
        }
      });
  for (const MutableBytes& left : rest) require(left.empty(), "the output does not fit the values");
}

}  // namespace lancelet
