#pragma once

#include <Python.h>

#include <algorithm>
#include <span>
#include <utility>

namespace reqtrail {

/// Where the interned str of a text is kept for the rest of the process, and the text.
using InternedName = std::pair<PyObject**, const char*>;

/// Makes each name of the table. False with MemoryError set. REQUIRES: the GIL.
[[nodiscard]] inline bool InternNames(std::span<const InternedName> table) {
  return std::ranges::all_of(table, [](const InternedName& name) {
    *name.first = PyUnicode_InternFromString(name.second);
    return *name.first != nullptr;
  });
}

}  // namespace reqtrail
