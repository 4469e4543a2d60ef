// Distinct values in order of first occurrence, given up early when there are too many (compressors.md 5.6 and 7.5).
#pragma once

#include <limits>
#include <vector>

#include "offsets.hpp"
#include "span.hpp"

namespace lancelet {

struct Word128 {
  uint64_t low;
  uint64_t high;
  bool operator==(const Word128&) const = default;
};

// Both halves of the product folded: every input bit reaches every output bit.
inline uint64_t fold_multiply(uint64_t a, uint64_t b) {
  __extension__ typedef unsigned __int128 Wide;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline constexpr uint64_t hash_factor = 0x9fb21c651e98df25;

inline uint64_t hash_value(uint64_t value, uint64_t seed) {
  return fold_multiply(value ^ seed, hash_factor ^ (seed << 1));
}
inline uint64_t hash_value(uint32_t value, uint64_t seed) { return hash_value(uint64_t{value}, seed); }
inline uint64_t hash_value(Word128 value, uint64_t seed) {
  return hash_value(value.high, hash_value(value.low, seed) | 1);
}

inline uint64_t hash_bytes(const uint8_t* at, size_t size, uint64_t seed) {
  uint64_t hash = hash_value(size, seed);
  for (; size > 8; size -= 8, at += 8) hash = hash_value(load<uint64_t>(at), hash | 1);
  return hash_value(load_up_to_8(at, size), hash | 1);
}

// Open addressing from keys to numbers 0, 1, 2 .. in order of insertion. It starts small and grows, so that few
// distinct values stay in cache whatever the budget. A probe sequence too long for chance rebuilds the table with
// another seed and doubles the limit: crafted values cost a few rebuilds, not quadratic time.
template <class Key>
class NumberTable {
 public:
  static constexpr uint32_t full = std::numeric_limits<uint32_t>::max();

  explicit NumberTable(size_t max_entries) : slots_(first_slots_), max_entries_(max_entries) {}

  size_t size() const { return size_; }
  uint64_t seed() const { return seed_; }

  // The number of `key`; new (== size before the call) when it was not there, `full` when it would be one too many.
  // `hash` is under the current seed; equal(key, number) compares with an entry; rehash(key, number, seed) gives the
  // hash of an entry and may change its key.
  template <class Equal, class Rehash>
  uint32_t find_or_insert(uint64_t hash, Key key, Equal equal, Rehash rehash) {
    size_t at = hash & mask();
    size_t num_probes = 0;
    while (slots_[at].number != 0) {
      if (equal(slots_[at].key, slots_[at].number - 1)) return slots_[at].number - 1;
      at = (at + 1) & mask();
      ++num_probes;
    }
    if (size_ == max_entries_) return full;
    slots_[at] = {key, static_cast<uint32_t>(++size_)};
    if (num_probes > max_probes_) [[unlikely]] {
      max_probes_ *= 2;
      seed_ = hash_value(hash, seed_ | 1);
      rebuild(slots_.size(), rehash);
    } else if (size_ > slots_.size() / 2) [[unlikely]] {
      rebuild(slots_.size() * 4, rehash);
    }
    return static_cast<uint32_t>(size_ - 1);
  }

 private:
  struct Slot {
    Key key{};
    uint32_t number = 0;  // 0: free; otherwise the number + 1
  };
  static constexpr size_t first_slots_ = 1024;

  size_t mask() const { return slots_.size() - 1; }

  template <class Rehash>
  void rebuild(size_t num_slots, Rehash rehash) {
    std::vector<Slot> old(num_slots);
    old.swap(slots_);
    for (Slot& slot : old) {
      if (slot.number == 0) continue;
      size_t at = rehash(slot.key, slot.number - 1, seed_) & mask();
      while (slots_[at].number != 0) at = (at + 1) & mask();
      slots_[at] = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t max_entries_;
  size_t size_ = 0;
  size_t max_probes_ = 128;
  uint64_t seed_ = 0x2545f4914f6cdd1d;
};

inline void check_unique_arguments(size_t num_values, int64_t max_entries, std::span<uint32_t> out_indices,
                                   std::span<int64_t> out_first) {
  require(max_entries >= 0 && max_entries < std::numeric_limits<uint32_t>::max(),
          "unique: max_entries must fit 32 bits");
  require(out_indices.size() == num_values, "unique: out_indices needs one index a value");
  require(out_first.size() == static_cast<size_t>(max_entries), "unique: out_first needs max_entries integers");
}

template <class T>
int64_t unique_fixed(Bytes data, int64_t max_entries, std::span<uint32_t> out_indices, std::span<int64_t> out_first) {
  require(data.size() % sizeof(T) == 0, "unique_fixed: the data is not a whole number of values");
  const size_t num_values = data.size() / sizeof(T);
  check_unique_arguments(num_values, max_entries, out_indices, out_first);

  NumberTable<T> table(out_first.size());
  const auto rehash = [](T key, uint32_t, uint64_t seed) { return hash_value(key, seed); };
  for (size_t i = 0; i < num_values; ++i) {
    const T value = load<T>(data.data() + i * sizeof(T));
    const size_t num_before = table.size();
    const uint32_t number = table.find_or_insert(
        hash_value(value, table.seed()), value, [value](T key, uint32_t) { return key == value; }, rehash);
    if (number == table.full) return -1;
    if (number == num_before) out_first[number] = static_cast<int64_t>(i);
    out_indices[i] = number;
  }
  return static_cast<int64_t>(table.size());
}

template <class Offset>
int64_t unique_variable(Bytes data, Bytes raw_offsets, int64_t max_entries, int64_t max_bytes,
                        std::span<uint32_t> out_indices, std::span<int64_t> out_first) {
  const Offsets<Offset> offsets(raw_offsets);
  const size_t num_values = offsets.num_values();
  check_unique_arguments(num_values, max_entries, out_indices, out_first);
  require(max_bytes >= 0, "unique_variable: max_bytes is negative");
  offsets.check(data.size());

  const auto value_at = [&](size_t i) { return data.subspan(offsets[i], offsets[i + 1] - offsets[i]); };
  const auto entry = [&](uint32_t number) { return value_at(static_cast<size_t>(out_first[number])); };
  // The key of an entry is the hash of its bytes.
  const auto rehash = [&](uint64_t& key, uint32_t number, uint64_t seed) {
    key = hash_bytes(entry(number).data(), entry(number).size(), seed);
    return key;
  };
  NumberTable<uint64_t> table(out_first.size());
  uint64_t num_bytes = 0;
  for (size_t i = 0; i < num_values; ++i) {
    const Bytes value = value_at(i);
    const uint64_t hash = hash_bytes(value.data(), value.size(), table.seed());
    const size_t num_before = table.size();
    // Noted before the insertion, which may ask for the bytes of the new entry.
    if (num_before < out_first.size()) out_first[num_before] = static_cast<int64_t>(i);
    const auto equal = [&](uint64_t key, uint32_t number) {
      if (key != hash) return false;
      const Bytes other = entry(number);
      return other.size() == value.size() &&
             (value.empty() || std::memcmp(other.data(), value.data(), value.size()) == 0);
    };
    const uint32_t number = table.find_or_insert(hash, hash, equal, rehash);
    if (number == table.full) return -1;
    if (number == num_before) {
      num_bytes += value.size();
      if (num_bytes > static_cast<uint64_t>(max_bytes)) return -1;
    }
    out_indices[i] = number;
  }
  return static_cast<int64_t>(table.size());
}

}  // namespace lancelet
