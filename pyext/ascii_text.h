#pragma once

#include <Python.h>

#include <cstring>
#include <string_view>

namespace reqtrail {

/// The characters of a str that is in ASCII, which owns them. REQUIRES: PyUnicode_IS_ASCII(text).
[[nodiscard]] inline std::string_view AsciiView(PyObject* text) noexcept {
  return {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(text)),
          static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))};
}

/// A new str of `text`, which is in ASCII. nullptr with MemoryError set.
[[nodiscard]] inline PyObject* NewAscii(std::string_view text) noexcept {
  PyObject* made = PyUnicode_New(static_cast<Py_ssize_t>(text.size()), 127);
  if (made != nullptr) std::memcpy(PyUnicode_1BYTE_DATA(made), text.data(), text.size());
  return made;
}

}  // namespace reqtrail
