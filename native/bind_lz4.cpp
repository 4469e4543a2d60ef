#include "bindings.hpp"

namespace lancelet {

void bind_lz4(nanobind::module_&) {}

}  // namespace lancelet
