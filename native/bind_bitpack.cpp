// Bindings of bitpack.hpp: argument checks and the release of the GIL, nothing else.
#include "bindings.hpp"
#include "bitpack.hpp"
#include "buffers.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lancelet {
namespace {

template <class T>
std::span<const T> as_values(Bytes data) {
  require(data.size() % sizeof(T) == 0, "the data is not a whole number of values");
  require(reinterpret_cast<std::uintptr_t>(data.data()) % alignof(T) == 0, "the data is not aligned");
  return {reinterpret_cast<const T*>(data.data()), data.size() / sizeof(T)};
}

void bit_widths_any(In<uint8_t> data, int bits, Out<uint8_t> out) {
  switch (bits) {
    case 8: return bit_widths(as_values<uint8_t>(data.span), out.span);
    case 16: return bit_widths(as_values<uint16_t>(data.span), out.span);
    case 32: return bit_widths(as_values<uint32_t>(data.span), out.span);
    case 64: return bit_widths(as_values<uint64_t>(data.span), out.span);
    default: throw BadArgument("bits must be 8, 16, 32 or 64");
  }
}

}  // namespace

void bind_bitpack(nb::module_& module) {
  module.def("bit_widths", &bit_widths_any, "data"_a, "bits"_a, "out"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace lancelet
