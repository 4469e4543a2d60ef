// Full-zip pages whose values are compressed by FSST: decompressed where they lie in their records (structural.md 6,
// compressors.md 4).
#pragma once

#include <utility>

#include "fsst.hpp"
#include "fullzip.hpp"

namespace lancelet {

// Takes the levels out of the records and decompresses the values. Once `values` is full, records are only checked.
template <class Offset>
struct DecodeRecords {
  MutableLevels rep;
  MutableLevels def;
  MutableBytes offsets;
  uint8_t* to;
  uint8_t* to_stop;
  FsstDecoder decode;
  const uint8_t* first = to;
  size_t num_entries = 0;
  size_t num_slots = 0;

  void entry(uint16_t r, uint16_t d) {
    check_data((rep.empty() || num_entries < rep.size()) && (def.empty() || num_entries < def.size()),
               "there are more records than entries");
    if (!rep.empty()) rep[num_entries] = r;
    if (!def.empty()) def[num_entries] = d;
    ++num_entries;
  }

  void slot(const uint8_t* value, size_t size) {
    ++num_slots;
    check_data(num_slots < offsets.size() / sizeof(Offset), "there are more values than offsets");
    if (to == nullptr) return;
    to = decode(value, value + size, to, to_stop);
    if (to != nullptr) store(offsets.data() + num_slots * sizeof(Offset), static_cast<Offset>(to - first));
  }
};

template <size_t WordBytes, class Offset>
std::pair<int64_t, bool> unzip_fsst_as(std::span<const Bytes> parts, std::span<const int64_t> row_counts,
                                       std::span<const int64_t> row_offsets, const RecordForm& form,
                                       const FsstTable& table, MutableLevels rep_out, MutableLevels def_out,
                                       MutableBytes offsets_out, MutableBytes values_out) {
  require(offsets_out.size() >= sizeof(Offset) && offsets_out.size() % sizeof(Offset) == 0,
          "there must be num_slots + 1 offsets");
  store(offsets_out.data(), Offset{0});
  // Where nothing can be written, a place that is not null tells it from a room that was too small.
  uint8_t nothing;
  uint8_t* const to = values_out.empty() ? &nothing : values_out.data();
  uint8_t* const to_stop = to + std::min<uint64_t>(values_out.size(), max_total<Offset>);
  DecodeRecords<Offset> take{rep_out, def_out, offsets_out, to, to_stop, FsstDecoder(table)};
  read_rows<WordBytes, sizeof(Offset)>(parts, row_counts, row_offsets, form, take);
  check_data((rep_out.empty() || take.num_entries == rep_out.size()) &&
                 (def_out.empty() || take.num_entries == def_out.size()),
             "there are fewer records than entries");
  check_data((take.num_slots + 1) * sizeof(Offset) == offsets_out.size(), "there are fewer values than offsets");
  if (take.to == nullptr) return {-1, false};
  return {take.to - to, take.decode.is_ascii()};
}

// `unzip_rows` and `fsst_decode_values` in one; -1 where `values_out` has no room for all values.
inline std::pair<int64_t, bool> unzip_fsst(std::span<const Bytes> parts, std::span<const int64_t> row_counts,
                                           std::span<const int64_t> row_offsets, const RecordForm& form,
                                           Bytes raw_table, MutableLevels rep_out, MutableLevels def_out,
                                           MutableBytes offsets_out, MutableBytes values_out) {
  const FsstTable table(raw_table);
  require(table.compressed, "unzip_fsst: the table is switched off");
  require(form.length_bytes > 0, "unzip_fsst: values of one width are not compressed");
  return with_sizes(form, [&](auto word, auto length) -> std::pair<int64_t, bool> {
    constexpr size_t word_bytes = decltype(word)::value;
    using Offset = std::conditional_t<decltype(length)::value == 8, uint64_t, uint32_t>;
    return unzip_fsst_as<word_bytes, Offset>(parts, row_counts, row_offsets, form, table, rep_out, def_out, offsets_out,
                                             values_out);
  });
}

}  // namespace lancelet
