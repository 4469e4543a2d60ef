// Entry points of the binding files; each stands in native/bind_<group>.cpp.
#pragma once

#include <nanobind/nanobind.h>

namespace lancelet {

void bind_bitpack(nanobind::module_& module);
void bind_bodies(nanobind::module_& module);
void bind_columns(nanobind::module_& module);
void bind_ranges(nanobind::module_& module);
void bind_runs(nanobind::module_& module);
void bind_fsst(nanobind::module_& module);
void bind_lz4(nanobind::module_& module);
void bind_unique(nanobind::module_& module);
void bind_varwidth(nanobind::module_& module);
void bind_miniblock(nanobind::module_& module);
void bind_fullzip(nanobind::module_& module);
void bind_levels(nanobind::module_& module);
void bind_packed(nanobind::module_& module);
void bind_direct(nanobind::module_& module);
void bind_picks(nanobind::module_& module);
void bind_zstd_frames(nanobind::module_& module);
void bind_placing(nanobind::module_& module);

}  // namespace lancelet
