// The Python module: one bind_* function per group of kernels, and the translation of their errors.
#include <nanobind/nanobind.h>

#include "bindings.hpp"
#include "span.hpp"

namespace nb = nanobind;

NB_MODULE(_native, module) {
  module.doc() = "Inner loops of lancelet. See lancelet.kernels for the contract of every function.";

  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const lancelet::CorruptData& corrupt) {
      nb::object type = nb::module_::import_("lancelet.errors").attr("FormatError");
      PyErr_SetString(type.ptr(), corrupt.what());
    }
  });

  lancelet::bind_bitpack(module);
  lancelet::bind_bodies(module);
  lancelet::bind_columns(module);
  lancelet::bind_ranges(module);
  lancelet::bind_runs(module);
  lancelet::bind_fsst(module);
  lancelet::bind_lz4(module);
  lancelet::bind_unique(module);
  lancelet::bind_varwidth(module);
  lancelet::bind_miniblock(module);
  lancelet::bind_fullzip(module);
  lancelet::bind_levels(module);
  lancelet::bind_packed(module);
  lancelet::bind_direct(module);
  lancelet::bind_picks(module);
  lancelet::bind_zstd_frames(module);
  lancelet::bind_placing(module);
}
