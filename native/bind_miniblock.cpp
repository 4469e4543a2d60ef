#include "bindings.hpp"

namespace lancelet {

void bind_miniblock(nanobind::module_&) {}

}  // namespace lancelet
