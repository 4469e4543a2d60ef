// Training of an FSST symbol table on a sample of a page: the same values give the same table, everywhere and always.
#pragma once

#include <vector>

#include "fsst.hpp"

namespace lancelet {

inline constexpr size_t fsst_sample_bytes = 16384;
inline constexpr size_t fsst_num_pieces = 128;
inline constexpr int fsst_num_rounds = 5;

// Calls `piece(start, stop)` for the parts of values that make up the sample: all values when they are few, otherwise
// equal stretches spread over the page, cut where values end.
template <class Offset, class Piece>
void fsst_sample(const Offsets<Offset>& offsets, Piece piece) {
  const uint64_t first = offsets.first(), total = offsets.last() - first;
  const size_t num_stretches = total <= fsst_sample_bytes ? 1 : fsst_num_pieces;
  const uint64_t stretch_bytes = total <= fsst_sample_bytes ? total : fsst_sample_bytes / fsst_num_pieces;
  for (size_t i = 0; i < num_stretches; ++i) {
    uint64_t at = first + total / num_stretches * i;
    const uint64_t stop = at + stretch_bytes;
    while (at < stop) {
      // The border after `at`: the first offset above it.
      size_t low = 0, high = offsets.num_values();
      while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (offsets[middle] > at) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      const uint64_t piece_stop = std::min<uint64_t>(offsets[low], stop);
      piece(at, piece_stop);
      at = piece_stop;
    }
  }
}

class FsstTrainer {
 public:
  // One parse of the sample with the symbols found so far; then the best of them and of what they would be joined in
  // pairs.
  template <class Offset>
  void round(Bytes data, const Offsets<Offset>& offsets) {
    matcher_.reset({symbols_.data(), num_symbols_}, {lengths_.data(), num_symbols_});
    fsst_sample(offsets, [&](uint64_t start, uint64_t stop) { count(data.data() + start, data.data() + stop); });
    collect();
    select();
  }

  // Returns the number of symbols.
  int64_t write(MutableBytes out) {
    const size_t n = num_symbols_;
    // Long symbols first, by length, single bytes last: the order that the reference uses.
    std::sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(n),
              [](const Candidate& a, const Candidate& b) {
                if ((a.length == 1) != (b.length == 1)) return b.length == 1;
                return a.length != b.length ? a.length < b.length : a.symbol < b.symbol;
              });
    std::array<bool, 256> in_long{};
    std::fill(out.begin(), out.end(), uint8_t{0});
    for (size_t code = 0; code < n; ++code) {
      const Candidate& symbol = candidates_[code];
      store(out.data() + 8 + 8 * code, symbol.symbol);
      out[8 + 8 * n + code] = symbol.length;
      for (size_t i = 0; symbol.length > 1 && i < symbol.length; ++i) in_long[symbol.symbol >> (8 * i) & 255] = true;
    }
    const auto terminator = std::find(in_long.begin(), in_long.end(), false);
    out[0] = static_cast<uint8_t>(n);
    out[1] = terminator == in_long.end() ? uint8_t{0} : static_cast<uint8_t>(terminator - in_long.begin());
    out[3] = n > 0;
    store(out.data() + 4, fsst_magic);
    return static_cast<int64_t>(n);
  }

 private:
  struct Candidate {
    uint64_t symbol;
    uint8_t length;
    uint64_t gain;
  };

  // Codes, then 256 + byte for escaped bytes.
  static constexpr size_t num_tokens_ = 512;

  void count(const uint8_t* start, const uint8_t* stop) {
    size_t previous = num_tokens_;
    fsst_parse(matcher_, start, stop, [&](FsstMatch match, uint8_t byte) {
      const size_t token = match.code == fsst_escape ? 256 + byte : match.code;
      if (counts_[token]++ == 0) seen_.push_back(static_cast<uint16_t>(token));
      if (previous != num_tokens_ && pair_counts_[previous * num_tokens_ + token]++ == 0) {
        seen_pairs_.push_back(static_cast<uint32_t>(previous * num_tokens_ + token));
      }
      previous = token;
    });
  }

  uint64_t token_symbol(size_t token) const { return token < 256 ? symbols_[token] : token - 256; }
  uint8_t token_length(size_t token) const { return token < 256 ? lengths_[token] : uint8_t{1}; }

  // Turns the counts into candidates and clears them.
  void collect() {
    candidates_.clear();
    for (const size_t token : seen_) {
      const uint64_t symbol = token_symbol(token);
      const uint8_t length = token_length(token);
      // A single byte without a symbol costs an escape, hence its weight.
      candidates_.push_back({symbol, length, uint64_t{counts_[token]} * (length == 1 ? 8 : length)});
      counts_[token] = 0;
    }
    for (const size_t pair : seen_pairs_) {
      const size_t left = pair / num_tokens_, right = pair % num_tokens_;
      const size_t left_length = token_length(left);
      if (left_length < fsst_max_symbol_bytes) {
        const uint64_t symbol = token_symbol(left) | token_symbol(right) << (8 * left_length);
        const size_t length = std::min<size_t>(left_length + token_length(right), fsst_max_symbol_bytes);
        candidates_.push_back({symbol, static_cast<uint8_t>(length), uint64_t{pair_counts_[pair]} * length});
      }
      pair_counts_[pair] = 0;
    }
    seen_.clear();
    seen_pairs_.clear();
  }

  // Adds up equal candidates and keeps the best.
  void select() {
    std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
      return a.length != b.length ? a.length > b.length : a.symbol < b.symbol;
    });
    size_t num_candidates = 0;
    for (const Candidate& candidate : candidates_) {
      if (num_candidates > 0 && candidates_[num_candidates - 1].symbol == candidate.symbol &&
          candidates_[num_candidates - 1].length == candidate.length) {
        candidates_[num_candidates - 1].gain += candidate.gain;
      } else {
        candidates_[num_candidates++] = candidate;
      }
    }
    candidates_.resize(num_candidates);
    // Stable: among equal gains the longer, then the smaller symbol.
    std::stable_sort(candidates_.begin(), candidates_.end(),
                     [](const Candidate& a, const Candidate& b) { return a.gain > b.gain; });
    num_symbols_ = std::min(num_candidates, fsst_max_symbols);
    for (size_t code = 0; code < num_symbols_; ++code) {
      symbols_[code] = candidates_[code].symbol;
      lengths_[code] = candidates_[code].length;
    }
  }

  std::array<uint64_t, 256> symbols_{};
  std::array<uint8_t, 256> lengths_{};
  size_t num_symbols_ = 0;
  FsstMatcher matcher_{{}, {}};
  std::vector<uint32_t> counts_ = std::vector<uint32_t>(num_tokens_);
  std::vector<uint32_t> pair_counts_ = std::vector<uint32_t>(num_tokens_ * num_tokens_);
  std::vector<uint16_t> seen_;
  std::vector<uint32_t> seen_pairs_;
  std::vector<Candidate> candidates_;
};

template <class Offset>
int64_t fsst_train(Bytes data, Bytes raw_offsets, MutableBytes out_table) {
  const Offsets<Offset> offsets(raw_offsets);
  require(out_table.size() == fsst_table_bytes, "fsst_train: a symbol table has 2312 bytes");
  offsets.check(data.size());
  FsstTrainer trainer;
  for (int round = 0; round < fsst_num_rounds; ++round) trainer.round(data, offsets);
  return trainer.write(out_table);
}

}  // namespace lancelet
