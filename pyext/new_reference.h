#pragma once

#include <pybind11/pybind11.h>

namespace reqtrail {

/// Owns a new reference, such as a function of the C API returns; empty for nullptr.
[[nodiscard]] inline pybind11::object Steal(PyObject* object) {
  return pybind11::reinterpret_steal<pybind11::object>(object);
}

}  // namespace reqtrail
