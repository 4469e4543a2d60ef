#include "bindings.hpp"

namespace lancelet {

void bind_fsst(nanobind::module_&) {}

}  // namespace lancelet
