// Ranges of a file that are fetched together.
#pragma once

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>
#include <vector>

#include "span.hpp"

namespace lancelet {

using Range = std::pair<int64_t, int64_t>;  // position and size

// Sorts ranges and merges those with at most `gap` bytes between them; empty ones are left out. Positions and sizes lie
// in a file, so that their sums fit.
inline void merge_near(std::vector<Range>& ranges, int64_t gap) {
  std::erase_if(ranges, [](const Range& range) { return range.second == 0; });
  std::sort(ranges.begin(), ranges.end());
  size_t last = 0;
  for (size_t i = 1; i < ranges.size(); ++i) {
    Range& before = ranges[last];
    const int64_t stop = before.first + before.second;
    if (ranges[i].first - stop <= gap)
      before.second = std::max(stop, ranges[i].first + ranges[i].second) - before.first;
    else
      ranges[++last] = ranges[i];
  }
  if (!ranges.empty()) ranges.resize(last + 1);
}

// Reads ranges of a file back to back; returns how many were read before one that was not there to its end. `error` is
// what the system said of that one, 0 if the file ends in it. Without `wait` only what is in memory is read.
inline size_t read_ranges(int descriptor, std::span<const Range> ranges, bool wait, MutableBytes out, int& error) {
  error = 0;
  uint8_t* to = out.data();
  for (size_t i = 0; i < ranges.size(); ++i) {
    int64_t position = ranges[i].first;
    for (auto left = static_cast<size_t>(ranges[i].second); left != 0;) {
      iovec part{to, left};
#ifdef RWF_NOWAIT
      const ssize_t count = preadv2(descriptor, &part, 1, position, wait ? 0 : RWF_NOWAIT);
#else
      if (!wait) return i;
      const ssize_t count = preadv(descriptor, &part, 1, position);
#endif
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        error = count < 0 ? errno : 0;
        return i;
      }
      to += count;
      left -= static_cast<size_t>(count);
      position += count;
    }
  }
  return ranges.size();
}

// Copies of some ranges of a file, sorted and disjoint, which lie back to back.
class Copies {
 public:
  Copies() = default;
  Copies(std::span<const Range> ranges, Bytes data) : data_(data) {
    ranges_.reserve(ranges.size());
    int64_t stop = 0;
    size_t used = 0;
    for (const auto& [position, size] : ranges) {
      require(position >= stop && size >= 0 && position <= std::numeric_limits<int64_t>::max() - size,
              "ranges: no such places in a file, or not in order");
      require(static_cast<uint64_t>(size) <= data.size() - used, "ranges: copies of other ranges");
      stop = position + size;
      ranges_.push_back({position, stop, used});
      used += static_cast<size_t>(size);
    }
    require(used == data.size(), "ranges: copies of other ranges");
  }

  // The copy of a part of the file, which lies in one range; without one the part itself.
  Bytes of(int64_t position, Bytes part) const {
    auto found = std::upper_bound(ranges_.begin(), ranges_.end(), position,
                                  [](int64_t at, const Copied& range) { return at < range.start; });
    if (found == ranges_.begin()) return part;
    --found;
    if (static_cast<uint64_t>(found->stop - position) < part.size() || position >= found->stop) return part;
    return data_.subspan(found->at + static_cast<size_t>(position - found->start), part.size());
  }

 private:
  struct Copied {
    int64_t start, stop;
    size_t at;
  };

  std::vector<Copied> ranges_;
  Bytes data_;
};

}  // namespace lancelet
