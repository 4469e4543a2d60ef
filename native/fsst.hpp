// FSST: up to 255 symbols of 1 to 8 bytes, one code each; 255 escapes a literal byte (compressors.md 4).
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "offsets.hpp"
#include "span.hpp"

namespace lancelet {

inline constexpr size_t fsst_table_bytes = 2312;
inline constexpr size_t fsst_max_symbols = 255;
inline constexpr size_t fsst_max_symbol_bytes = 8;
inline constexpr uint8_t fsst_escape = 255;
inline constexpr uint32_t fsst_magic = 0x46535354;

// The lowest `length` bytes of a word; 0 <= length <= 8.
inline uint64_t low_bytes(uint64_t word, size_t length) {
  return length >= 8 ? word : word & ((uint64_t{1} << (8 * length)) - 1);
}

// A symbol table that was checked.
struct FsstTable {
  std::array<uint64_t, 256> symbols{};  // zero-filled
  std::array<uint8_t, 256> lengths{};   // 0: no symbol has this code
  size_t num_symbols = 0;
  bool compressed = false;

  explicit FsstTable(Bytes raw) {
    require(raw.size() == fsst_table_bytes, "fsst: a symbol table has 2312 bytes");
    check_data(load<uint32_t>(raw.data() + 4) == fsst_magic, "fsst: the symbol table has a wrong magic number");
    check_data(raw[3] <= 1, "fsst: the switch of the symbol table is neither 0 nor 1");
    compressed = raw[3] == 1;
    if (!compressed) return;
    num_symbols = raw[0];
    for (size_t code = 0; code < num_symbols; ++code) {
      lengths[code] = raw[8 + 8 * num_symbols + code];
      check_data(lengths[code] >= 1 && lengths[code] <= fsst_max_symbol_bytes,
                 "fsst: a symbol is not 1 to 8 bytes long");
      symbols[code] = low_bytes(load<uint64_t>(raw.data() + 8 + 8 * code), lengths[code]);
    }
  }
};

// ---- Decoding ----

// Decoded length of codes, eight at a time. Escapes and codes without a symbol weigh more than eight symbols can, so
// that one comparison a step finds them.
class FsstMeasure {
 public:
  explicit FsstMeasure(const FsstTable& table) {
    for (size_t code = 0; code < 256; ++code) weights_[code] = table.lengths[code] ? table.lengths[code] : special_;
  }

  uint64_t operator()(const uint8_t* at, const uint8_t* stop) const {
    uint64_t total = 0;
    while (stop - at >= 8) {
      const uint32_t low = weights_[at[0]] + weights_[at[1]] + weights_[at[2]] + weights_[at[3]];
      const uint32_t high = weights_[at[4]] + weights_[at[5]] + weights_[at[6]] + weights_[at[7]];
      if (low + high < special_) [[likely]] {
        total += low + high;
        at += 8;
        continue;
      }
      for (const uint8_t* step_stop = at + 8; at < step_stop;) total += one(at, stop);
    }
    while (at < stop) total += one(at, stop);
    return total;
  }

 private:
  static constexpr uint32_t special_ = 1024;

  uint32_t one(const uint8_t*& at, const uint8_t* stop) const {
    const uint8_t code = *at++;
    if (code == fsst_escape) {
      check_data(at < stop, "fsst: a value ends in an escape");
      ++at;
      return 1;
    }
    check_data(weights_[code] != special_, "fsst: a code has no symbol");
    return weights_[code];
  }

  std::array<uint32_t, 256> weights_{};
};

template <class Offset>
int64_t fsst_decode_offsets(Bytes raw_table, Bytes data, Bytes raw_offsets, MutableBytes raw_out_offsets) {
  const FsstTable table(raw_table);
  const Offsets<Offset> offsets(raw_offsets);
  const size_t num_values = offsets.num_values();
  const OffsetsOut<Offset> out_offsets(raw_out_offsets, num_values);
  offsets.check(data.size());

  const FsstMeasure measure(table);
  uint64_t total = 0;
  for (size_t i = 0; i < num_values; ++i) {
    out_offsets.set(i, total);
    total += table.compressed ? measure(data.data() + offsets[i], data.data() + offsets[i + 1])
                              : offsets[i + 1] - offsets[i];
    check_data(total <= max_total<Offset>, "fsst: the decoded values are too long for their offsets");
  }
  out_offsets.set(num_values, total);
  return static_cast<int64_t>(total);
}

class FsstDecoder {
 public:
  explicit FsstDecoder(const FsstTable& table)
      : table_(table), lengths_(table.lengths), is_full_(table.num_symbols == fsst_max_symbols) {
    for (auto& length : lengths_) length = length ? length : special_;
    for (const uint64_t symbol : table.symbols) seen_ |= symbol;
  }

  // Whether the symbols of the table, and the literal bytes that were decoded, are ASCII.
  bool is_ascii() const { return (seen_ & 0x8080808080808080) == 0; }

  // Writes the symbols of the codes from `at` to `stop`; returns where it ended, or nothing where `to_stop` is too
  // near.
  uint8_t* operator()(const uint8_t* at, const uint8_t* stop, uint8_t* to, uint8_t* to_stop) {
    while (stop - at >= 4 && to_stop - to >= 32) {
      if (is_full_ && stop - at >= 8 && to_stop - to >= 64) {
        const uint64_t codes = load<uint64_t>(at);
        if (!has_escape(codes)) [[likely]] {
          put4(static_cast<uint32_t>(codes), to);
          put4(static_cast<uint32_t>(codes >> 32), to);
          at += 8;
          continue;
        }
      }
      const uint32_t codes = load<uint32_t>(at);
      if ((lengths_[codes & 255] | lengths_[codes >> 8 & 255] | lengths_[codes >> 16 & 255] | lengths_[codes >> 24]) &
          special_) [[unlikely]] {
        for (const uint8_t* step_stop = at + 4; at < step_stop;) {
          if (!one(at, stop, to, to_stop)) return nullptr;
        }
        continue;
      }
      put4(codes, to);
      at += 4;
    }
    while (at < stop) {
      if (!one(at, stop, to, to_stop)) return nullptr;
    }
    return to;
  }

 private:
  static constexpr uint8_t special_ = 128;

  // Whether one of eight bytes is 255.
  static bool has_escape(uint64_t codes) { return ((~codes - 0x0101010101010101) & codes & 0x8080808080808080) != 0; }

  // Writes the symbols of four codes, which have some, and up to 7 bytes behind them.
  void put4(uint32_t codes, uint8_t*& to) const {
    const size_t code0 = codes & 255, code1 = codes >> 8 & 255, code2 = codes >> 16 & 255, code3 = codes >> 24;
    const size_t length0 = lengths_[code0], length1 = lengths_[code1], length2 = lengths_[code2];
    store(to, table_.symbols[code0]);
    store(to + length0, table_.symbols[code1]);
    store(to + length0 + length1, table_.symbols[code2]);
    store(to + length0 + length1 + length2, table_.symbols[code3]);
    to += length0 + length1 + length2 + lengths_[code3];
  }

  bool one(const uint8_t*& at, const uint8_t* stop, uint8_t*& to, const uint8_t* to_stop) {
    const uint8_t code = *at++;
    uint64_t symbol = table_.symbols[code];
    size_t length = lengths_[code];
    if (code == fsst_escape) {
      check_data(at < stop, "fsst: a value ends in an escape");
      symbol = *at++;
      seen_ |= symbol;
      length = 1;
    }
    check_data(length != special_, "fsst: a code has no symbol");
    if (to_stop - to >= 8) [[likely]] {
      store(to, symbol);
    } else {
      if (static_cast<size_t>(to_stop - to) < length) return false;
      std::memcpy(to, &symbol, length);
    }
    to += length;
    return true;
  }

  const FsstTable& table_;
  std::array<uint8_t, 256> lengths_;
  bool is_full_;  // every code but the escape has a symbol
  uint64_t seen_ = 0;
};

// Values are coded on their own, so all of them are one stream: no value border is looked at.
inline void fsst_decode_stream(const FsstTable& table, Bytes stream, MutableBytes out) {
  const uint8_t* end =
      FsstDecoder(table)(stream.data(), stream.data() + stream.size(), out.data(), out.data() + out.size());
  require(end != nullptr, "fsst_decode: out is too small");
  require(end == out.data() + out.size(), "fsst_decode: out is too large");
}

// Both steps in one, value by value; -1 where `out` has no room for all of them. Tells as well whether all bytes are
// known to be ASCII.
template <class Offset>
std::pair<int64_t, bool> fsst_decode_values(Bytes raw_table, Bytes data, Bytes raw_offsets,
                                            MutableBytes raw_out_offsets, MutableBytes out) {
  const FsstTable table(raw_table);
  const Offsets<Offset> offsets(raw_offsets);
  const size_t num_values = offsets.num_values();
  const OffsetsOut<Offset> out_offsets(raw_out_offsets, num_values);
  offsets.check(data.size());
  require(table.compressed, "fsst_decode_values: the table is switched off");
  FsstDecoder decode(table);
  uint8_t* to = out.data();
  uint8_t* const to_stop = to + std::min<uint64_t>(out.size(), max_total<Offset>);
  for (size_t i = 0; i < num_values; ++i) {
    out_offsets.set(i, static_cast<uint64_t>(to - out.data()));
    to = decode(data.data() + offsets[i], data.data() + offsets[i + 1], to, to_stop);
    if (to == nullptr) return {-1, false};
  }
  const int64_t written = to - out.data();
  out_offsets.set(num_values, static_cast<uint64_t>(written));
  return {written, decode.is_ascii()};
}

template <class Offset>
void fsst_decode(Bytes raw_table, Bytes data, Bytes raw_offsets, MutableBytes out) {
  const FsstTable table(raw_table);
  const Offsets<Offset> offsets(raw_offsets);
  offsets.check(data.size());
  const Bytes stream = data.subspan(offsets.first(), offsets.last() - offsets.first());
  if (table.compressed) return fsst_decode_stream(table, stream, out);
  require(out.size() == stream.size(), "fsst_decode: out has another size than the values");
  if (!stream.empty()) std::memcpy(out.data(), stream.data(), stream.size());
}

// ---- Encoding ----

struct FsstMatch {
  uint8_t code;    // fsst_escape: no symbol matches
  uint8_t length;  // bytes of the value that it takes
};

// Finds the longest symbol at a position: symbols of up to 2 bytes by a direct table, longer ones by a bucket of their
// first 3 bytes, longest first. Rebuilt for every set of symbols, so it is kept small.
class FsstMatcher {
 public:
  FsstMatcher(std::span<const uint64_t> symbols, std::span<const uint8_t> lengths) { reset(symbols, lengths); }

  void reset(std::span<const uint64_t> symbols, std::span<const uint8_t> lengths) {
    singles_.fill({fsst_escape, 1});
    buckets_.fill({0, 0});
    num_long_ = 0;
    for (size_t code = symbols.size(); code-- > 0;) {
      if (lengths[code] == 1) singles_[symbols[code]] = {static_cast<uint8_t>(code), 1};
    }
    for (size_t pair = 0; pair < pairs_.size(); ++pair) pairs_[pair] = singles_[pair & 255];
    for (size_t code = symbols.size(); code-- > 0;) {
      if (lengths[code] == 2) pairs_[symbols[code]] = {static_cast<uint8_t>(code), 2};
    }
    for (size_t code = 0; code < symbols.size(); ++code) {
      if (lengths[code] >= 3) longs_[num_long_++] = {symbols[code], lengths[code], static_cast<uint8_t>(code)};
    }
    // Equal symbols: the lower code comes first.
    std::sort(longs_.begin(), longs_.begin() + num_long_, [](const Long& a, const Long& b) {
      const size_t bucket_a = bucket_of(a.symbol), bucket_b = bucket_of(b.symbol);
      if (bucket_a != bucket_b) return bucket_a < bucket_b;
      return a.length != b.length ? a.length > b.length : a.code < b.code;
    });
    for (uint8_t i = 0; i < num_long_; ++i) {
      Bucket& bucket = buckets_[bucket_of(longs_[i].symbol)];
      if (bucket.stop == 0) bucket.start = i;
      bucket.stop = static_cast<uint8_t>(i + 1);
    }
  }

  // `word` holds the next bytes, zeros after `remaining` >= 1 of them.
  FsstMatch longest(uint64_t word, size_t remaining) const {
    const Bucket bucket = buckets_[bucket_of(word)];
    for (size_t i = bucket.start; i < bucket.stop; ++i) {
      const Long& candidate = longs_[i];
      if (low_bytes(word, candidate.length) == candidate.symbol && candidate.length <= remaining) {
        return {candidate.code, candidate.length};
      }
    }
    return remaining >= 2 ? pairs_[word & 0xffff] : singles_[word & 0xff];
  }

 private:
  struct Long {
    uint64_t symbol;
    uint8_t length;
    uint8_t code;
  };
  struct Bucket {
    uint8_t start;
    uint8_t stop;
  };
  static constexpr int bucket_bits_ = 11;

  static size_t bucket_of(uint64_t word) {
    return static_cast<size_t>(static_cast<uint32_t>(static_cast<uint32_t>(word & 0xffffff) * 0x9e3779b1U) >>
                               (32 - bucket_bits_));
  }

  std::array<FsstMatch, 256> singles_;
  std::array<FsstMatch, 65536> pairs_;
  std::array<Bucket, size_t{1} << bucket_bits_> buckets_;
  std::array<Long, fsst_max_symbols> longs_;
  uint8_t num_long_ = 0;
};

// Calls `found(match, first byte)` for every step of the greedy parse of [at, stop).
template <class Found>
inline void fsst_parse(const FsstMatcher& matcher, const uint8_t* at, const uint8_t* stop, Found found) {
  while (stop - at >= 8) {
    const FsstMatch match = matcher.longest(load<uint64_t>(at), 8);
    found(match, *at);
    at += match.length;
  }
  size_t remaining = static_cast<size_t>(stop - at);
  uint64_t word = load_up_to_8(at, remaining);
  while (remaining > 0) {
    const FsstMatch match = matcher.longest(word, remaining);
    found(match, static_cast<uint8_t>(word));
    word = match.length == 8 ? 0 : word >> (8 * match.length);
    remaining -= match.length;
  }
}

template <class Offset>
int64_t fsst_encode(Bytes raw_table, Bytes data, Bytes raw_offsets, MutableBytes raw_out_offsets, MutableBytes out) {
  const FsstTable table(raw_table);
  const Offsets<Offset> offsets(raw_offsets);
  const size_t num_values = offsets.num_values();
  const OffsetsOut<Offset> out_offsets(raw_out_offsets, num_values);
  offsets.check(data.size());
  const uint64_t num_bytes = offsets.last() - offsets.first();
  require(out.size() / 2 >= num_bytes, "fsst_encode: out needs room for twice the values");
  require(num_bytes <= std::numeric_limits<Offset>::max() / 2, "fsst_encode: too many bytes for the offsets");

  if (!table.compressed) {
    for (size_t i = 0; i <= num_values; ++i) out_offsets.set(i, offsets[i] - offsets.first());
    if (num_bytes > 0) std::memcpy(out.data(), data.data() + offsets.first(), num_bytes);
    return static_cast<int64_t>(num_bytes);
  }
  const FsstMatcher matcher(std::span(table.symbols).first(table.num_symbols),
                            std::span(table.lengths).first(table.num_symbols));
  uint8_t* to = out.data();
  for (size_t i = 0; i < num_values; ++i) {
    out_offsets.set(i, static_cast<uint64_t>(to - out.data()));
    fsst_parse(matcher, data.data() + offsets[i], data.data() + offsets[i + 1], [&to](FsstMatch match, uint8_t byte) {
      // Both bytes are always stored: there is room for two per byte read.
      to[0] = match.code;
      to[1] = byte;
      to += 1 + (match.code == fsst_escape);
    });
  }
  out_offsets.set(num_values, static_cast<uint64_t>(to - out.data()));
  return to - out.data();
}

}  // namespace lancelet
