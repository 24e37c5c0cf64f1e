#pragma once

#include <Python.h>

#include <string_view>

namespace reqtrail {

/// The characters of a str that is in ASCII, which owns them. REQUIRES: PyUnicode_IS_ASCII(text).
[[nodiscard]] inline std::string_view AsciiView(PyObject* text) noexcept {
  return {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(text)),
          static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))};
}

}  // namespace reqtrail
