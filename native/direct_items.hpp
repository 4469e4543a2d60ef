// Dictionaries of mini-block pages, decoded as their message says. What is refused here goes the general way.
#pragma once

#include <vector>

#include "direct.hpp"
#include "lz4_block.hpp"
#include "varwidth.hpp"

namespace lancelet::direct {

struct ItemsForm {
  bool is_variable;
  unsigned bits;        // of the column: a value, or an offset
  int64_t stored_bits;  // of a value of one width
  bool compressed;      // a u32 with the decoded size, and an LZ4 block
  int64_t count;
  bool is_text;
};

inline constexpr size_t lz4_head = 4, lz4_ratio = 255;

// Most bytes that a dictionary may declare; larger ones are for those who ask for memory first.
inline constexpr size_t max_items_bytes = size_t{64} << 20;

inline bool is_ascii(Bytes data) {
  uint8_t all = 0;
  for (const uint8_t byte : data) all |= byte;
  return all < 0x80;
}

inline Items decode_items(ItemsForm form, Bytes stored) {
  std::vector<uint8_t> raw;
  Bytes data = stored;
  if (form.compressed) {
    check_data(stored.size() >= lz4_head, "lz4: a compressed buffer ends inside of its size");
    const size_t size = load<uint32_t>(stored.data());
    check_data(size <= lz4_ratio * stored.size() && size <= max_items_bytes, "lz4: a buffer declares too many bytes");
    raw.resize(size);
    lz4_decode_block(stored.subspan(lz4_head), raw);
    data = raw;
  }
  if (!form.is_variable) {
    require(form.stored_bits == static_cast<int64_t>(form.bits) && form.bits % 8 == 0,
            "direct: a dictionary holds other values than its column");
    const auto width = static_cast<int64_t>(form.bits / 8);
    check_data(form.count >= 0 && static_cast<int64_t>(data.size()) % width == 0 &&
                   static_cast<int64_t>(data.size()) / width == form.count,
               "a dictionary has another number of values");
    return Items::fixed(data, form.bits);
  }
  return with_offsets(static_cast<int>(form.bits), [&]<class Offset>(Offset) {
    const lancelet::detail::VariablePart<Offset> part(data, form.count, {true});
    check_data(!form.is_text || is_ascii(part.values), "direct: text may not be UTF-8");
    return Items::variable(part.values, part.offsets, static_cast<int>(form.bits));
  });
}

}  // namespace lancelet::direct
