#include "bindings.hpp"

namespace lancelet {

void bind_levels(nanobind::module_&) {}

}  // namespace lancelet
