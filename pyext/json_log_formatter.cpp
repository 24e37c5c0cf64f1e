#include "pyext/json_log_formatter.h"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>

#include "core/utc_time.h"
#include "pyext/json_value.h"
#include "pyext/record_attributes.h"
#include "pyext/request_context.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

/// Keys of the line that come from an attribute of another name: an extra of that name is told apart by a prefix.
constexpr std::array<std::string_view, 7> kTakenKeys = {"time", "level",     "logger", "function",
                                                        "line", "exception", "stack"};

PyObject* name_of_get_message = nullptr;
PyObject* name_of_format_exception = nullptr;

struct Formatter {
  PyObject_HEAD std::string* origin;
  UtcTimeWriter* time;
  JsonCharset charset;
};

Formatter* AsFormatter(PyObject* object) noexcept { return reinterpret_cast<Formatter*>(object); }

py::object Steal(PyObject* object) { return py::reinterpret_steal<py::object>(object); }

/// type(object).__name__, without running a metaclass.
std::string_view TypeName(PyObject* object) {
  const std::string_view name = Py_TYPE(object)->tp_name;
  return name.substr(name.rfind('.') + 1);
}

/// Writes one record. Its members return false when an exception that is no `Exception` is set.
class Line {
 public:
  Line(Formatter* formatter, PyObject* record, PyObject* dict)
      : formatter_(formatter), record_(record), attributes_(dict), value_(text_, formatter->charset) {
    text_.reserve(512);
  }

  [[nodiscard]] bool Write() {
    AppendTime();
    const bool written = Append("level", kLevelname) && Append("logger", kName) && AppendMessage() &&
                         AppendRequestId() && AppendOrigin() && Append("module", kModule) &&
                         Append("function", kFuncName) && Append("line", kLineno) && AppendPlacedExtras() &&
                         AppendException() && AppendIfSet("stack", kStackInfo) && AppendOtherExtras();
    text_ += '}';
    return written;
  }

  [[nodiscard]] PyObject* Text() const {
    return PyUnicode_DecodeUTF8(text_.data(), static_cast<Py_ssize_t>(text_.size()), "replace");
  }

 private:
  void AppendTime() {
    text_ += R"({"time":")";
    const py::object& created = attributes_[kCreated];
    const double seconds = created ? PyFloat_AsDouble(created.ptr()) : 0;
    if (seconds == -1) PyErr_Clear();
    formatter_->time->Append(text_, seconds);
    text_ += '"';
  }

  void AppendKey(std::string_view key) {
    text_ += ",\"";
    text_ += key;
    text_ += "\":";
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
    const py::object message = Steal(PyObject_CallMethodNoArgs(record_, name_of_get_message));
    if (message && PyUnicode_Check(message.ptr())) {
      value_.AppendStr(message.ptr());
      return true;
    }
    if (!ForgetException()) return false;
    // The arguments do not fit the text, or one of them cannot be printed: both are kept, side by side.
    return value_.AppendText(msg ? msg.ptr() : Py_None, PyObject_Str) && Append("args", kArgs);
  }

  bool AppendRequestId() {
    if (attributes_[kRequestId]) return Append("request_id", kRequestId);
    const py::object current = Steal(CurrentRequestId());
    return !current || AppendValue("request_id", current);
  }

  bool AppendOrigin() {
    if (attributes_[kOrigin]) return Append("origin", kOrigin);
    AppendKey("origin");
    AppendJsonString(text_, *formatter_->origin, formatter_->charset);
    return true;
  }

  bool AppendPlacedExtras() {
    PyObject* error = Error();
    for (std::size_t i = kEndpoint; i <= kUserId; ++i) {
      const auto attribute = static_cast<RecordAttribute>(i);
      if (attributes_[attribute]) {
        if (!Append(NameOf(attribute), attribute)) return false;
      } else if (error != nullptr && attribute == kErrorType) {
        AppendKey("error_type");
        AppendJsonString(text_, TypeName(error), formatter_->charset);
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
      auto* self = reinterpret_cast<PyObject*>(formatter_);
      const py::object text =
          Steal(PyObject_CallMethodOneArg(self, name_of_format_exception, attributes_[kExcInfo].ptr()));
      if (text) return AppendValue("exception", text);
      if (!ForgetException()) return false;
    }
    return AppendIfSet("exception", kExcText);
  }

  bool AppendOtherExtras() {
    return std::ranges::all_of(attributes_.extras(), [this](const RecordAttributes::Extra& extra) {
      text_ += ',';
      const std::size_t start = text_.size();
      if (!value_.AppendText(extra.first.ptr(), PyObject_Str)) return false;
      const std::string_view key = std::string_view(text_).substr(start + 1, text_.size() - start - 2);
      if (std::ranges::find(kTakenKeys, key) != kTakenKeys.end()) text_.insert(start + 1, "extra_");
      text_ += ':';
      return value_.Append(extra.second.ptr());
    });
  }

  Formatter* formatter_;
  PyObject* record_;
  RecordAttributes attributes_;
  std::string text_;
  JsonValueWriter value_;
};

PyObject* FormatRecord(PyObject* self, PyObject* record) {
  try {
    const py::object attributes = Steal(PyObject_GenericGetDict(record, nullptr));
    if (!attributes) {
      PyErr_Format(PyExc_TypeError, "format() takes a LogRecord, not %.100s", Py_TYPE(record)->tp_name);
      return nullptr;
    }
    Line line(AsFormatter(self), record, attributes.ptr());
    return line.Write() ? line.Text() : nullptr;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

PyObject* Configure(PyObject* self, PyObject* args) {
  const char* origin = nullptr;
  int ascii = 0;
  if (PyArg_ParseTuple(args, "sp:configure", &origin, &ascii) == 0) return nullptr;
  *AsFormatter(self)->origin = origin;
  AsFormatter(self)->charset = ascii != 0 ? JsonCharset::kAscii : JsonCharset::kUtf8;
  Py_RETURN_NONE;
}

PyObject* New(PyTypeObject* type, PyObject* /*args*/, PyObject* /*kwargs*/) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  AsFormatter(self)->origin = new (std::nothrow) std::string;
  AsFormatter(self)->time = new (std::nothrow) UtcTimeWriter;
  if (AsFormatter(self)->origin == nullptr || AsFormatter(self)->time == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return self;
}

void Dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete AsFormatter(self)->origin;
  delete AsFormatter(self)->time;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {{"format", FormatRecord, METH_O, "The record as one JSON line, without the line's end."},
                         {"configure", Configure, METH_VARARGS, "Set the origin, and whether to write ASCII only."},
                         {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(New)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(Dealloc)},
                       {Py_tp_methods, methods},
                       {0, nullptr}};

PyType_Spec spec = {.name = "reqtrail._native.RecordFormatter",
                    .basicsize = sizeof(Formatter),
                    .itemsize = 0,
                    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                    .slots = slots};

}  // namespace

PyObject* MakeRecordFormatterType() {
  name_of_get_message = PyUnicode_InternFromString("getMessage");
  name_of_format_exception = PyUnicode_InternFromString("formatException");
  const bool ready = name_of_get_message != nullptr && name_of_format_exception != nullptr && InitRecordAttributes();
  return ready ? PyType_FromSpec(&spec) : nullptr;
}

}  // namespace reqtrail
