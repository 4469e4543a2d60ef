#include "bindings.hpp"

namespace lancelet {

void bind_unique(nanobind::module_&) {}

}  // namespace lancelet
