#include "bindings.hpp"

namespace lancelet {

void bind_varwidth(nanobind::module_&) {}

}  // namespace lancelet
