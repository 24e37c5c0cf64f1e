#pragma once

#include <Python.h>

#include <string>

#include "core/json_text.h"

namespace reqtrail {

/// Writes Python objects as JSON for a log line. Whatever the object is or does, what is written is one valid JSON
/// value on one line, and no Python error is left behind; an exception that is no `Exception` (KeyboardInterrupt) is
/// the one thing that passes. REQUIRES: the GIL. Throws std::bad_alloc.
///
/// dict, list, tuple, set and frozenset keep their structure down to kMaxDepth and up to kMaxValues values; NaN and the
/// infinities become null; an exception becomes its repr(), any other object its str().
class JsonValueWriter {
 public:
  static constexpr int kMaxDepth = 8;
  static constexpr int kMaxValues = 2000;

  /// `out` must outlive the writer.
  JsonValueWriter(std::string& out, JsonCharset charset) noexcept : out_(out), charset_(charset) {}

  /// False when an exception that is no `Exception` is set; `out` is not usable then.
  [[nodiscard]] bool Append(PyObject* value) { return Append(value, 0); }

  /// The text of a str, as a JSON string.
  void AppendStr(PyObject* str);

  /// str(value), or repr(value), as a JSON string; a text that says so when that fails.
  [[nodiscard]] bool AppendText(PyObject* value, PyObject* (*text_of)(PyObject*));

 private:
  [[nodiscard]] bool Append(PyObject* value, int depth);
  [[nodiscard]] bool AppendInt(PyObject* value);
  [[nodiscard]] bool AppendDict(PyObject* dict, int depth);
  [[nodiscard]] bool AppendElements(PyObject* collection, int depth);

  std::string& out_;
  JsonCharset charset_;
  int values_ = 0;
};

/// Forgets the current Python error if it is an `Exception`; says whether none is left.
[[nodiscard]] bool ForgetException() noexcept;

}  // namespace reqtrail
