#include "bindings.hpp"

namespace lancelet {

void bind_runs(nanobind::module_&) {}

}  // namespace lancelet
