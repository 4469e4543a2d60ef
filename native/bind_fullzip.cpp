#include "bindings.hpp"

namespace lancelet {

void bind_fullzip(nanobind::module_&) {}

}  // namespace lancelet
