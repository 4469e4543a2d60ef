// Run-length encoding and byte-stream-split (compressors.md 5.1 and 5.2).
#pragma once

#include <algorithm>
#include <bit>
#include <utility>

#include "span.hpp"

namespace lancelet {

inline constexpr size_t longest_run = 255;

// Calls `function` with a zero of the unsigned type of `bits` bits.
template <class Function>
auto with_word(int bits, Function&& function) {
  switch (bits) {
    case 8: return function(uint8_t{});
    case 16: return function(uint16_t{});
    case 32: return function(uint32_t{});
    case 64: return function(uint64_t{});
    default: throw BadArgument("bits must be 8, 16, 32 or 64");
  }
}

template <class T>
T value_at(const uint8_t* values, size_t index) {
  return load<T>(values + index * sizeof(T));
}

template <class T>
size_t num_values_of(Bytes data) {
  require(data.size() % sizeof(T) == 0, "the data is not a whole number of values");
  return data.size() / sizeof(T);
}

inline size_t entries_of(size_t run) { return run <= longest_run ? 1 : (run + longest_run - 1) / longest_run; }

// Bit j tells whether value `index + j` differs from the one before it; 64 values from `index` on must exist, and index
// >= 1.
template <class T>
uint64_t changes(const uint8_t* values, size_t index) {
  uint8_t differs[64];
  for (size_t j = 0; j < 64; ++j) differs[j] = value_at<T>(values, index + j) != value_at<T>(values, index + j - 1);
  uint64_t mask = 0;
  for (unsigned j = 0; j < 8; ++j) {
    // The product collects the low bits of eight bytes in its top byte.
    mask |= (load<uint64_t>(differs + 8 * j) * 0x0102040810204080u >> 56) << (8 * j);
  }
  return mask;
}

// Calls `run(start, length)` for every run of `count` values until it returns false.
template <class T, class Run>
void for_each_run(const uint8_t* values, size_t count, Run&& run) {
  size_t start = 0;
  size_t index = 1;
  for (; index + 64 <= count; index += 64) {
    for (uint64_t mask = changes<T>(values, index); mask != 0; mask &= mask - 1) {
      const size_t stop = index + static_cast<size_t>(std::countr_zero(mask));
      if (!run(start, stop - start)) return;
      start = stop;
    }
  }
  for (; index < count; ++index) {
    if (value_at<T>(values, index) == value_at<T>(values, index - 1)) continue;
    if (!run(start, index - start)) return;
    start = index;
  }
  if (count != 0) run(start, count - start);
}

// Runs, and the entries they take when a run is cut every `max_run` values.
template <class T>
std::pair<size_t, size_t> rle_entries(Bytes data, int64_t max_run) {
  require(max_run >= 64, "max_run must be at least 64");
  const size_t count = num_values_of<T>(data);
  const size_t piece = static_cast<size_t>(max_run);
  size_t runs = 0;
  size_t entries = 0;
  const auto end_run = [&](size_t length) {
    entries += length / piece * entries_of(piece) + (length % piece != 0 ? entries_of(length % piece) : 0);
  };
  size_t start = 0;
  size_t index = 1;
  for (; index + 64 <= count; index += 64) {
    const uint64_t mask = changes<T>(data.data(), index);
    if (mask == 0) continue;
    end_run(index + static_cast<size_t>(std::countr_zero(mask)) - start);
    // Runs that begin and end among these 64 values take one entry each.
    const size_t num_changes = static_cast<size_t>(std::popcount(mask));
    runs += num_changes;
    entries += num_changes - 1;
    start = index + 63 - static_cast<size_t>(std::countl_zero(mask));
  }
  for (; index < count; ++index) {
    if (value_at<T>(data.data(), index) == value_at<T>(data.data(), index - 1)) continue;
    end_run(index - start);
    ++runs;
    start = index;
  }
  if (count != 0) {
    end_run(count - start);
    ++runs;
  }
  return {runs, entries};
}

struct RleChunk {
  size_t count;
  size_t entries;
};

// The next chunk: all values if they fit, else the largest power of two that fits, but at least 2.
template <class T>
RleChunk next_rle_chunk(const uint8_t* values, size_t remaining, size_t max_values, size_t max_entries) {
  const size_t seen = std::min(remaining, max_values);
  RleChunk best{0, 0};
  size_t entries = 0;
  size_t wanted = 2;
  bool fits = true;
  for_each_run<T>(values, seen, [&](size_t start, size_t length) {
    for (; (fits || best.count == 0) && wanted <= start + length; wanted *= 2) {
      const size_t needed = entries + entries_of(wanted - start);
      fits = fits && needed <= max_entries;
      if (fits || wanted == 2) best = {wanted, needed};
    }
    entries += entries_of(length);
    fits = fits && entries <= max_entries;
    return fits || best.count == 0;
  });
  return (fits && seen == remaining) || best.count == 0 ? RleChunk{remaining, entries} : best;
}

template <class T>
size_t rle_cut(Bytes data, int64_t max_values, int64_t max_bytes, std::span<int64_t> out_counts,
               std::span<int64_t> out_entries) {
  require(max_values >= 2 && max_bytes >= 0, "max_values must be at least 2, max_bytes not negative");
  const size_t max_entries = static_cast<size_t>(max_bytes) / (sizeof(T) + 1);
  const size_t total = num_values_of<T>(data);
  size_t num_chunks = 0;
  for (size_t start = 0; start < total; ++num_chunks) {
    const RleChunk chunk =
        next_rle_chunk<T>(data.data() + start * sizeof(T), total - start, static_cast<size_t>(max_values), max_entries);
    require(num_chunks < out_counts.size() && num_chunks < out_entries.size(), "the output is too small");
    out_counts[num_chunks] = static_cast<int64_t>(chunk.count);
    out_entries[num_chunks] = static_cast<int64_t>(chunk.entries);
    start += chunk.count;
  }
  return num_chunks;
}

// Writes the entries of `count` values; returns their number.
template <class T>
size_t encode_runs(const uint8_t* values, size_t count, MutableBytes out_values, MutableBytes out_lengths) {
  size_t entries = 0;
  for_each_run<T>(values, count, [&](size_t start, size_t length) {
    const T value = value_at<T>(values, start);
    const size_t needed = entries + entries_of(length);
    require(needed <= out_values.size() / sizeof(T) && needed <= out_lengths.size(), "the output is too small");
    for (; entries + 1 < needed; ++entries, length -= longest_run) {
      store<T>(out_values.data() + entries * sizeof(T), value);
      out_lengths[entries] = static_cast<uint8_t>(longest_run);
    }
    store<T>(out_values.data() + entries * sizeof(T), value);
    out_lengths[entries++] = static_cast<uint8_t>(length);
    return true;
  });
  return entries;
}

// Takes the values of one chunk off `data`.
template <class T>
Bytes take_chunk(Bytes& data, int64_t count) {
  require(count >= 0 && static_cast<uint64_t>(count) <= data.size() / sizeof(T), "the counts do not fit the values");
  const Bytes chunk = data.first(static_cast<size_t>(count) * sizeof(T));
  data = data.subspan(chunk.size());
  return chunk;
}

template <class T>
size_t rle_encode(Bytes data, std::span<const int64_t> counts, MutableBytes out_values, MutableBytes out_lengths,
                  std::span<int64_t> out_entries) {
  require(out_entries.size() == counts.size(), "there must be one number of entries per chunk");
  size_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const Bytes chunk = take_chunk<T>(data, counts[i]);
    require(total <= out_values.size() / sizeof(T) && total <= out_lengths.size(), "the output is too small");
    const size_t entries = encode_runs<T>(chunk.data(), chunk.size() / sizeof(T), out_values.subspan(total * sizeof(T)),
                                          out_lengths.subspan(total));
    out_entries[i] = static_cast<int64_t>(entries);
    total += entries;
  }
  require(data.empty(), "the counts do not fit the values");
  return total;
}

// Block form: u64 size of the values, values, lengths.
template <class T>
size_t rle_encode_blocks(Bytes data, std::span<const int64_t> counts, MutableBytes out, std::span<int64_t> out_sizes) {
  require(out_sizes.size() == counts.size(), "there must be one size per block");
  size_t written = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const Bytes chunk = take_chunk<T>(data, counts[i]);
    const size_t count = chunk.size() / sizeof(T);
    size_t entries = 0;
    for_each_run<T>(chunk.data(), count, [&](size_t, size_t length) {
      entries += entries_of(length);
      return true;
    });
    const size_t size = sizeof(uint64_t) + entries * (sizeof(T) + 1);
    require(size <= out.size() - written, "the output is too small");
    const MutableBytes block = out.subspan(written, size);
    store<uint64_t>(block.data(), entries * sizeof(T));
    encode_runs<T>(chunk.data(), count, block.subspan(sizeof(uint64_t), entries * sizeof(T)), block.last(entries));
    out_sizes[i] = static_cast<int64_t>(size);
    written += size;
  }
  require(data.empty(), "the counts do not fit the values");
  return written;
}

// Writes one value `length` times. Short runs are what counts: a piece of fixed size is stored whatever the length, as
// long as `room` (bytes up to the end of all output, at least those of the run) allows; later runs overwrite what is
// too much.
template <class T>
void fill_run(uint8_t* to, size_t room, T value, size_t length) {
  constexpr size_t piece = 32;
  const size_t size = length * sizeof(T);
  if (room - size < piece) {
    for (size_t i = 0; i < length; ++i) store<T>(to + i * sizeof(T), value);
    return;
  }
  const uint64_t word = static_cast<uint64_t>(value) * (~uint64_t{0} / static_cast<T>(~T{0}));
  size_t done = 0;
  do {
    for (size_t i = 0; i < piece; i += sizeof word) store<uint64_t>(to + done + i, word);
    done += piece;
  } while (done < size);
}

// Expands the entries of one chunk to `count` values at the start of `out`, which reaches to the end of all output.
template <class T, class Length>
void expand_chunk(Bytes values, Bytes lengths, size_t count, MutableBytes out) {
  check_data(values.size() % sizeof(T) == 0, "the run values are not a whole number of values");
  check_data(lengths.size() % sizeof(Length) == 0, "the run lengths are not a whole number of lengths");
  size_t entries = lengths.size() / sizeof(Length);
  check_data(values.size() / sizeof(T) == entries, "there are not as many run values as run lengths");
  uint64_t total = 0;
  bool zero = false;
  for (size_t i = 0; i < entries; ++i) {
    const Length length = value_at<Length>(lengths.data(), i);
    total += length;
    zero |= length == 0;
  }
  check_data(!zero, "a run has the length 0");
  check_data(total >= count, "the runs are shorter than the chunk");
  // Older writers let the last run reach past the chunk.
  uint64_t excess = total - count;
  while (entries != 0 && excess >= value_at<Length>(lengths.data(), entries - 1)) {
    excess -= value_at<Length>(lengths.data(), --entries);
  }
  size_t position = 0;
  for (size_t i = 0; i < entries; ++i) {
    size_t length = value_at<Length>(lengths.data(), i);
    if (i + 1 == entries) length -= static_cast<size_t>(excess);
    fill_run<T>(out.data() + position, out.size() - position, value_at<T>(values.data(), i), length);
    position += length * sizeof(T);
  }
}

template <class T>
void expand_chunk_of(int length_bits, Bytes values, Bytes lengths, int64_t count, MutableBytes& out) {
  check_data(count >= 0, "a chunk has a negative number of values");
  require(static_cast<uint64_t>(count) <= out.size() / sizeof(T), "the counts do not fit the output");
  const size_t num_values = static_cast<size_t>(count);
  switch (length_bits) {
    case 8: expand_chunk<T, uint8_t>(values, lengths, num_values, out); break;
    case 16: expand_chunk<T, uint16_t>(values, lengths, num_values, out); break;
    case 32: expand_chunk<T, uint32_t>(values, lengths, num_values, out); break;
    default: throw BadArgument("length_bits must be 8, 16 or 32");
  }
  out = out.subspan(num_values * sizeof(T));
}

struct Parts {
  Bytes data;
  std::span<const int64_t> offsets;
  std::span<const int64_t> sizes;

  void require_size(size_t size) const {
    require(offsets.size() == size && sizes.size() == size, "offsets, sizes and counts differ in length");
  }
  Bytes operator[](size_t index) const { return checked_slice(data, offsets[index], sizes[index]); }
};

template <class T>
void rle_decode(Parts values, Parts lengths, std::span<const int64_t> counts, int length_bits, MutableBytes out) {
  values.require_size(counts.size());
  lengths.require_size(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) expand_chunk_of<T>(length_bits, values[i], lengths[i], counts[i], out);
  require(out.empty(), "the counts do not fit the output");
}

template <class T>
void rle_decode_blocks(Parts blocks, std::span<const int64_t> counts, int length_bits, MutableBytes out) {
  blocks.require_size(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) {
    const Bytes block = blocks[i];
    check_data(block.size() >= sizeof(uint64_t), "a block of runs is shorter than its header");
    const uint64_t values_size = load<uint64_t>(block.data());
    const Bytes body = block.subspan(sizeof(uint64_t));
    check_data(values_size <= body.size(), "the run values reach past their block");
    const size_t split = static_cast<size_t>(values_size);
    expand_chunk_of<T>(length_bits, body.first(split), body.subspan(split), counts[i], out);
  }
  require(out.empty(), "the counts do not fit the output");
}

// Byte j of value i of a chunk stands at j * count + i.
template <class T>
void bss_encode(Bytes data, std::span<const int64_t> counts, MutableBytes out) {
  require(out.size() == data.size(), "the output is not as large as the values");
  uint8_t* to = out.data();
  for (int64_t size : counts) {
    const Bytes chunk = take_chunk<T>(data, size);
    const uint8_t* from = chunk.data();
    const size_t count = chunk.size() / sizeof(T);
    for (size_t byte = 0; byte < sizeof(T); ++byte) {
      uint8_t* __restrict stream = to + byte * count;
      for (size_t i = 0; i < count; ++i) stream[i] = static_cast<uint8_t>(value_at<T>(from, i) >> (8 * byte));
    }
    to += chunk.size();
  }
  require(data.empty(), "the counts do not fit the values");
}

template <class T>
void bss_decode(Parts parts, std::span<const int64_t> counts, MutableBytes out) {
  parts.require_size(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) {
    const Bytes part = parts[i];
    check_data(
        counts[i] >= 0 && part.size() % sizeof(T) == 0 && part.size() / sizeof(T) == static_cast<uint64_t>(counts[i]),
        "the size of a byte-stream-split buffer does not fit its number of values");
    require(part.size() <= out.size(), "the counts do not fit the output");
    const size_t count = part.size() / sizeof(T);
    const uint8_t* from = part.data();
    uint8_t* __restrict to = out.data();
    for (size_t j = 0; j < count; ++j) {
      T value = 0;
      for (size_t byte = 0; byte < sizeof(T); ++byte) {
        value = static_cast<T>(value | static_cast<T>(from[byte * count + j]) << (8 * byte));
      }
      store<T>(to + j * sizeof(T), value);
    }
    out = out.subspan(part.size());
  }
  require(out.empty(), "the counts do not fit the output");
}

}  // namespace lancelet
