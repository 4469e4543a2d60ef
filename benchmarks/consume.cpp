// Reads every byte of an Arrow array once, through the C data interface: what a benchmark does with each result, the
// same for every engine. One call a batch, so that the reading costs what the memory costs and not what Python costs.
//
// Only the part of a buffer that the array's offset and length use is read. Views (string_view) are followed to their
// bytes.

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

struct Tally {
  std::uint64_t sum = 0;
  std::int64_t num_bytes = 0;
  bool unknown = false;

  void read(const void* data, std::int64_t start, std::int64_t size) {
    if (data == nullptr || size <= 0) {
      return;
    }
    const auto* bytes = static_cast<const unsigned char*>(data) + start;
    const std::int64_t num_words = size / 8;
    std::uint64_t total = 0;
    for (std::int64_t i = 0; i < num_words; ++i) {
      std::uint64_t word;
      std::memcpy(&word, bytes + 8 * i, 8);
      total += word;
    }
    for (std::int64_t i = 8 * num_words; i < size; ++i) {
      total += bytes[i];
    }
    sum += total;
    num_bytes += size;
  }

  void read_bits(const void* data, std::int64_t start, std::int64_t count) {
    if (count > 0) {
      read(data, start / 8, (start + count + 7) / 8 - start / 8);
    }
  }
};

// Bits of one value of a fixed-width format, 0 for every other format.
std::int64_t bits_of(const char* format) {
  switch (format[0]) {
    case 'b': return 1;
    case 'c':
    case 'C': return 8;
    case 's':
    case 'S':
    case 'e': return 16;
    case 'i':
    case 'I':
    case 'f': return 32;
    case 'l':
    case 'L':
    case 'g': return 64;
    case 'w': return 8 * std::atoll(format + 2);
    case 'd': {
      const char* comma = std::strchr(format, ',');
      comma = comma == nullptr ? nullptr : std::strchr(comma + 1, ',');
      return comma == nullptr ? 128 : std::atoll(comma + 1);
    }
    case 't':
      if (format[1] == 'i') {
        return format[2] == 'M' ? 32 : format[2] == 'D' ? 64 : 128;
      }
      if (format[1] == 'd') {
        return format[2] == 'D' ? 32 : 64;
      }
      if (format[1] == 't') {
        return format[2] == 's' || format[2] == 'm' ? 32 : 64;
      }
      return 64;
    default: return 0;
  }
}

void walk(const ArrowSchema* schema, const ArrowArray* array, std::int64_t start, std::int64_t count, Tally& tally);

template <typename Offset>
void walk_variable(const ArrowSchema* schema, const ArrowArray* array, std::int64_t first, std::int64_t count,
                   Tally& tally) {
  if (count == 0) {
    return;
  }
  tally.read(array->buffers[1], first * static_cast<std::int64_t>(sizeof(Offset)),
             (count + 1) * static_cast<std::int64_t>(sizeof(Offset)));
  const auto* offsets = static_cast<const Offset*>(array->buffers[1]);
  const std::int64_t begin = offsets[first];
  const std::int64_t end = offsets[first + count];
  if (schema->format[0] == '+') {
    walk(schema->children[0], array->children[0], begin, end - begin, tally);
  } else {
    tally.read(array->buffers[2], begin, end - begin);
  }
}

void walk_views(const ArrowArray* array, std::int64_t first, std::int64_t count, Tally& tally) {
  struct View {
    std::int32_t length;
    char prefix[4];
    std::int32_t buffer;
    std::int32_t offset;
  };
  tally.read(array->buffers[1], 16 * first, 16 * count);
  const auto* views = static_cast<const View*>(array->buffers[1]);
  for (std::int64_t i = first; i < first + count; ++i) {
    if (views[i].length > 12) {
      tally.read(array->buffers[2 + views[i].buffer], views[i].offset, views[i].length);
    }
  }
}

void walk(const ArrowSchema* schema, const ArrowArray* array, std::int64_t start, std::int64_t count, Tally& tally) {
  const char* format = schema->format;
  const std::int64_t first = array->offset + start;
  if (array->n_buffers > 0 && array->null_count != 0 && format[0] != 'n') {
    tally.read_bits(array->buffers[0], first, count);
  }
  if (const std::int64_t bits = bits_of(format); bits == 1) {
    tally.read_bits(array->buffers[1], first, count);
  } else if (bits > 0) {
    tally.read(array->buffers[1], first * (bits / 8), count * (bits / 8));
  } else if (format[0] == 'u' || format[0] == 'z' || std::strcmp(format, "+l") == 0 || std::strcmp(format, "+m") == 0) {
    walk_variable<std::int32_t>(schema, array, first, count, tally);
  } else if (format[0] == 'U' || format[0] == 'Z' || std::strcmp(format, "+L") == 0) {
    walk_variable<std::int64_t>(schema, array, first, count, tally);
  } else if (format[0] == 'v') {
    walk_views(array, first, count, tally);
  } else if (std::strncmp(format, "+w:", 3) == 0) {
    const std::int64_t size = std::atoll(format + 3);
    walk(schema->children[0], array->children[0], first * size, count * size, tally);
  } else if (std::strcmp(format, "+s") == 0) {
    for (std::int64_t i = 0; i < array->n_children; ++i) {
      walk(schema->children[i], array->children[i], first, count, tally);
    }
  } else if (format[0] != 'n') {
    tally.unknown = true;
  }
  if (array->dictionary != nullptr) {
    walk(schema->dictionary, array->dictionary, 0, array->dictionary->length, tally);
  }
}

}  // namespace

// Reads the array, releases it, and returns the number of bytes read, or -1 for a format that is not known here.
// `sum` takes the sum of the bytes as 64-bit words, so that no compiler may leave the reading out.
extern "C" std::int64_t consume(const void* schema, void* array, std::uint64_t* sum) {
  auto* exported = static_cast<ArrowArray*>(array);
  Tally tally;
  walk(static_cast<const ArrowSchema*>(schema), exported, 0, exported->length, tally);
  *sum += tally.sum;
  if (exported->release != nullptr) {
    exported->release(exported);
  }
  return tally.unknown ? -1 : tally.num_bytes;
}
