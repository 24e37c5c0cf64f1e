#include "pyext/log_line.h"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "core/traceparent.h"
#include "pyext/ascii_text.h"
#include "pyext/new_reference.h"
#include "pyext/percent_format.h"
#include "pyext/request_context.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

/// Keys of the line that come from an attribute of another name: an extra of that name is told apart by a prefix.
constexpr std::array<std::string_view, 8> kTakenKeys = {"time", "level",     "logger", "function",
                                                        "line", "exception", "stack",  "truncated"};

PyObject* name_of_get_message = nullptr;
PyObject* name_of_format_exception = nullptr;
PyObject* log_record_type = nullptr;

/// type(object).__name__, without running a metaclass.
std::string_view TypeName(PyObject* object) {
  const std::string_view name = Py_TYPE(object)->tp_name;
  return name.substr(name.rfind('.') + 1);
}

/// Writes one record. Its members return false when an exception that is no `Exception` is set.
class Line {
 public:
  /// `formatter` and `record` may be nullptr for a LogRecord without exc_info that exists by its attributes alone.
  Line(TextBuffer& text, LineFormat& format, PyObject* formatter, PyObject* record, const RecordAttributes& attributes)
      : text_(text),
        format_(format),
        formatter_(formatter),
        record_(record),
        attributes_(attributes),
        value_(text, format.style) {}

  [[nodiscard]] bool Write() {
    AppendTime();
    const bool written = Append("level", kLevelname) && Append("logger", kName) && AppendMessage() &&
                         AppendRequestId() && AppendTraceId() && AppendOrigin() && Append("module", kModule) &&
                         Append("function", kFuncName) && Append("line", kLineno) && AppendPlacedExtras() &&
                         AppendException() && AppendIfSet("stack", kStackInfo) && AppendOtherExtras();
    text_.Append('}');
    return written;
  }

 private:
  void AppendTime() {
    text_.Append(R"({"time":")");
    const py::object& created = attributes_[kCreated];
    const double seconds = created ? PyFloat_AsDouble(created.ptr()) : 0;
    if (seconds == -1) PyErr_Clear();
    format_.time.Append(text_, seconds);
    text_.Append('"');
  }

  void AppendKey(std::string_view key) {
    text_.Append(",\"");
    text_.Append(key);
    text_.Append("\":");
  }

  bool AppendValue(std::string_view key, const py::object& value) {
    AppendKey(key);
    return value_.Append(value ? value.ptr() : Py_None);
  }

  bool Append(std::string_view key, RecordAttribute attribute) { return AppendValue(key, attributes_[attribute]); }

  bool AppendIfSet(std::string_view key, RecordAttribute attribute) {
    return !attributes_[attribute] || Append(key, attribute);
  }

  bool AppendMessage() {
    AppendKey("message");
    const py::object& msg = attributes_[kMsg];
    const py::object& args = attributes_[kArgs];
    const bool is_whole = !args || (PyTuple_Check(args.ptr()) && PyTuple_GET_SIZE(args.ptr()) == 0);
    if (is_whole && msg && PyUnicode_CheckExact(msg.ptr())) {
      value_.AppendStr(msg.ptr());
      return true;
    }
    if (IsSimple(msg, args)) {
      constexpr std::size_t kMaxKeptBytes = std::size_t{64} << 10U;
      if (format_.message.capacity() > kMaxKeptBytes) format_.message = TextBuffer();
      format_.message.Truncate(0);
      if (AppendPercentFormat(format_.message, msg.ptr(), args.ptr())) {
        value_.AppendUtf8(format_.message.view());
        return true;
      }
    }
    const py::object message = Message(msg, args);
    if (message && PyUnicode_Check(message.ptr())) {
      value_.AppendStr(message.ptr());
      return true;
    }
    if (!ForgetException()) return false;
    // The arguments do not fit the text, or one of them cannot be printed: both are kept, side by side.
    return value_.AppendText(msg ? msg.ptr() : Py_None, PyObject_Str) && Append("args", kArgs);
  }

  /// Whether getMessage() is LogRecord's own, and is `msg % args` of a str and a tuple.
  [[nodiscard]] bool IsSimple(const py::object& msg, const py::object& args) const {
    const bool is_log_record = record_ == nullptr || reinterpret_cast<PyObject*>(Py_TYPE(record_)) == log_record_type;
    return is_log_record && msg && args && PyUnicode_CheckExact(msg.ptr()) && PyTuple_CheckExact(args.ptr());
  }

  /// record.getMessage(), and what it does for a LogRecord without calling it.
  [[nodiscard]] py::object Message(const py::object& msg, const py::object& args) const {
    if (IsSimple(msg, args)) return Steal(PyUnicode_Format(msg.ptr(), args.ptr()));
    return Steal(PyObject_CallMethodNoArgs(record_, name_of_get_message));
  }

  bool AppendRequestId() {
    if (attributes_[kRequestId]) return Append("request_id", kRequestId);
    const py::object current = Steal(CurrentRequestId());
    return !current || AppendValue("request_id", current);
  }

  bool AppendTraceId() {
    if (attributes_[kTraceId]) return Append("trace_id", kTraceId);
    const py::object traceparent = Steal(CurrentTraceparent());
    if (!traceparent) return true;
    if (!PyUnicode_IS_COMPACT_ASCII(traceparent.ptr())) return true;
    const std::optional<Traceparent> trace = ParseTraceparent(AsciiView(traceparent.ptr()));
    if (!trace) return true;
    AppendKey("trace_id");
    value_.AppendPlain(trace->trace_id);
    return true;
  }

  bool AppendOrigin() {
    if (attributes_[kOrigin]) return Append("origin", kOrigin);
    AppendKey("origin");
    value_.AppendPlain(format_.origin);
    return true;
  }

  bool AppendPlacedExtras() {
    PyObject* error = Error();
    for (std::size_t i = kEndpoint; i <= kUserId; ++i) {
      const auto attribute = static_cast<RecordAttribute>(i);
      if (attributes_[attribute]) {
        if (format_.style.redacted.Contains(NameOf(attribute))) {
          AppendKey(NameOf(attribute));
          text_.Append(JsonValueWriter::kRedacted);
        } else if (!Append(NameOf(attribute), attribute)) {
          return false;
        }
      } else if (error != nullptr && attribute == kErrorType) {
        AppendKey("error_type");
        value_.AppendPlain(TypeName(error));
      } else if (error != nullptr && attribute == kErrorMessage) {
        AppendKey("error_message");
        if (!value_.AppendText(error, PyObject_Str)) return false;
      }
    }
    return true;
  }

  /// The exception of the record, borrowed, or nullptr.
  [[nodiscard]] PyObject* Error() const noexcept {
    PyObject* exc_info = attributes_[kExcInfo].ptr();
    if (exc_info == nullptr || !PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) return nullptr;
    PyObject* error = PyTuple_GET_ITEM(exc_info, 1);
    return PyExceptionInstance_Check(error) ? error : nullptr;
  }

  bool AppendException() {
    if (Error() != nullptr) {
      const py::object text =
          Steal(PyObject_CallMethodOneArg(formatter_, name_of_format_exception, attributes_[kExcInfo].ptr()));
      if (text) return AppendTraceback(text);
      if (!ForgetException()) return false;
    }
    return !attributes_[kExcText] || AppendTraceback(attributes_[kExcText]);
  }

  bool AppendTraceback(const py::object& text) {
    if (!PyUnicode_Check(text.ptr())) return AppendValue("exception", text);
    AppendKey("exception");
    value_.AppendStrCutInside(text.ptr());
    return true;
  }

  bool AppendOtherExtras() {
    for (const RecordAttributes::Extra& extra : attributes_.extras()) {
      if (value_.IsFull()) {
        text_.Append(",\"truncated\":true");
        break;
      }
      if (!AppendExtra(extra)) return false;
    }
    return true;
  }

  bool AppendExtra(const RecordAttributes::Extra& extra) {
    text_.Append(',');
    const std::size_t start = text_.size();
    if (!value_.AppendText(extra.first.ptr(), PyObject_Str)) return false;
    const std::string_view key = text_.view().substr(start + 1, text_.size() - start - 2);
    const bool is_redacted = format_.style.redacted.Contains(key);
    if (std::ranges::find(kTakenKeys, key) != kTakenKeys.end()) text_.Insert(start + 1, "extra_");
    text_.Append(':');
    if (!is_redacted) return value_.Append(extra.second.ptr());
    text_.Append(JsonValueWriter::kRedacted);
    return true;
  }

  TextBuffer& text_;
  LineFormat& format_;
  PyObject* formatter_;
  PyObject* record_;
  const RecordAttributes& attributes_;
  JsonValueWriter value_;
};

}  // namespace

bool AppendLogLine(TextBuffer& text, LineFormat& format, PyObject* formatter, PyObject* record) {
  const py::object dict = Steal(PyObject_GenericGetDict(record, nullptr));
  if (!dict) {
    PyErr_Format(PyExc_TypeError, "format() takes a LogRecord, not %.100s", Py_TYPE(record)->tp_name);
    return false;
  }
  const RecordAttributes attributes(dict.ptr());
  return Line(text, format, formatter, record, attributes).Write();
}

bool AppendLogLineOf(TextBuffer& text, LineFormat& format, const RecordAttributes& attributes) {
  return Line(text, format, nullptr, nullptr, attributes).Write();
}

bool InitLogLine() {
  name_of_get_message = PyUnicode_InternFromString("getMessage");
  name_of_format_exception = PyUnicode_InternFromString("formatException");
  PyObject* logging = PyImport_ImportModule("logging");
  if (logging != nullptr) log_record_type = PyObject_GetAttrString(logging, "LogRecord");
  Py_XDECREF(logging);
  return log_record_type != nullptr && name_of_get_message != nullptr && name_of_format_exception != nullptr &&
         InitRecordAttributes();
}

}  // namespace reqtrail
