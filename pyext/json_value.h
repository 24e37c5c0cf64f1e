#pragma once

#include <Python.h>

#include <cstddef>
#include <string_view>

#include "core/json_text.h"
#include "pyext/redacted_keys.h"

namespace reqtrail {

/// How values are written.
struct JsonStyle {
  JsonCharset charset = JsonCharset::kUtf8;
  /// A longer text is cut, and says so. In UTF-8; at least kMarkerBytes.
  std::size_t max_text_bytes = 65536;
  RedactedKeys redacted;

  /// What a line may have before the rest of its values is left out; the text that goes beyond is written still.
  [[nodiscard]] std::size_t max_line_bytes() const noexcept { return 4 * max_text_bytes; }
};

/// Writes Python objects as JSON for a log line. Whatever the object is or does, what is written is one valid JSON
/// value on one line, and no Python error is left behind; an exception that is no `Exception` (KeyboardInterrupt) is
/// the one thing that passes. REQUIRES: the GIL. Throws std::bad_alloc.
///
/// dict, list, tuple, set and frozenset keep their structure down to kMaxDepth and up to kMaxValues values; NaN and the
/// infinities become null; an exception becomes its repr(), any other object its str(). The value of a redacted key of
/// a dict becomes kRedacted.
class JsonValueWriter {
 public:
  static constexpr int kMaxDepth = 8;
  static constexpr Py_ssize_t kMaxValues = 2000;
  static constexpr std::string_view kRedacted = "\"[redacted]\"";

  /// Both must outlive the writer. `out` may have text already.
  JsonValueWriter(TextBuffer& out, const JsonStyle& style) noexcept : out_(out), style_(style) {}

  /// False when an exception that is no `Exception` is set; `out` is not usable then.
  [[nodiscard]] bool Append(PyObject* value) { return Append(value, 0); }

  /// The text of a str, as a JSON string. Of one that is too long the start is kept.
  void AppendStr(PyObject* str);

  /// The same, but start and end are kept: of a traceback the end says most.
  void AppendStrCutInside(PyObject* str);

  /// str(value), or repr(value), as a JSON string; a text that says so when that fails.
  [[nodiscard]] bool AppendText(PyObject* value, PyObject* (*text_of)(PyObject*));

  /// As a JSON string. `text` is UTF-8.
  void AppendPlain(std::string_view text) { AppendJsonString(out_, text, style_.charset); }

  /// The same, but of one that is too long the start is kept.
  void AppendUtf8(std::string_view text) { AppendUtf8(text, Cut::kEnd); }

  /// Whether there is no room for more values: the line is too long, or has too many of them.
  [[nodiscard]] bool IsFull() const noexcept { return values_ > kMaxValues || out_.size() > style_.max_line_bytes(); }

 private:
  enum class Cut : unsigned char { kEnd, kInside };

  [[nodiscard]] bool Append(PyObject* value, int depth);
  [[nodiscard]] bool AppendInt(PyObject* value);
  [[nodiscard]] bool AppendDict(PyObject* dict, int depth);
  [[nodiscard]] bool AppendElements(PyObject* collection, int depth);
  void AppendStr(PyObject* str, Cut cut);
  void AppendUtf8(std::string_view text, Cut cut);

  TextBuffer& out_;
  const JsonStyle& style_;
  Py_ssize_t values_ = 0;
};

/// Forgets the current Python error if it is an `Exception`; says whether none is left.
[[nodiscard]] bool ForgetException() noexcept;

}  // namespace reqtrail
