#pragma once

#include <pybind11/pybind11.h>

namespace reqtrail {

/// Puts the ASGI middleware, its recorder and their hooks into `module`.
void BindAsgi(pybind11::module_& module);

}  // namespace reqtrail
