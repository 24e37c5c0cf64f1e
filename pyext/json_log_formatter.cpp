#include "pyext/json_log_formatter.h"

#include <pybind11/pybind11.h>

#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pyext/log_line.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

struct Formatter {
  PyObject_HEAD LineFormat* line_format;
};

PyTypeObject* formatter_type = nullptr;
PyObject* compiled_format = nullptr;  ///< the method of formatter_type, as its subclasses inherit it
PyObject* name_of_format = nullptr;

Formatter* AsFormatter(PyObject* object) noexcept { return reinterpret_cast<Formatter*>(object); }

PyObject* FormatRecord(PyObject* self, PyObject* record) {
  try {
    TextBuffer text;
    if (!AppendLogLine(text, *AsFormatter(self)->line_format, self, record)) return nullptr;
    const std::string_view line = text.view();
    return PyUnicode_DecodeUTF8(line.data(), static_cast<Py_ssize_t>(line.size()), "replace");
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

/// The strings of a tuple, as they are written in JSON. False with a Python error set.
bool ReadKeys(PyObject* tuple, JsonCharset charset, std::vector<std::string>& keys) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
    const char* key = PyUnicode_AsUTF8(PyTuple_GET_ITEM(tuple, i));
    if (key == nullptr) return false;
    TextBuffer written;
    AppendJsonString(written, key, charset);
    keys.emplace_back(written.view().substr(1, written.size() - 2));
  }
  return true;
}

PyObject* Configure(PyObject* self, PyObject* args) {
  const char* origin = nullptr;
  int ascii = 0;
  Py_ssize_t max_text_bytes = 0;
  PyObject* redact = nullptr;
  if (PyArg_ParseTuple(args, "spnO!:configure", &origin, &ascii, &max_text_bytes, &PyTuple_Type, &redact) == 0) {
    return nullptr;
  }
  if (max_text_bytes < 64) {
    PyErr_Format(PyExc_ValueError, "max_text_bytes is at least 64, not %zd", max_text_bytes);
    return nullptr;
  }
  try {
    std::vector<std::string> keys;
    const JsonCharset charset = ascii != 0 ? JsonCharset::kAscii : JsonCharset::kUtf8;
    if (!ReadKeys(redact, charset, keys)) return nullptr;
    LineFormat& format = *AsFormatter(self)->line_format;
    format.origin = origin;
    format.style = {.charset = charset,
                    .max_text_bytes = static_cast<std::size_t>(max_text_bytes),
                    .redacted = RedactedKeys(std::move(keys))};
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* New(PyTypeObject* type, PyObject* /*args*/, PyObject* /*kwargs*/) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  AsFormatter(self)->line_format = new (std::nothrow) LineFormat;
  if (AsFormatter(self)->line_format == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return self;
}

void Dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete AsFormatter(self)->line_format;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"format", FormatRecord, METH_O, "The record as one JSON line, without the line's end."},
    {"configure", Configure, METH_VARARGS, "Set origin, ascii_only, max_text_bytes, and the keys to redact."},
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
  name_of_format = PyUnicode_InternFromString("format");
  if (name_of_format == nullptr || !InitLogLine()) return nullptr;
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) return nullptr;
  formatter_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type));
  compiled_format = PyObject_GetAttr(type, name_of_format);
  return compiled_format == nullptr ? nullptr : type;
}

LineFormat* CompiledFormatOf(PyObject* object) noexcept {
  if (!PyObject_TypeCheck(object, formatter_type)) return nullptr;
  const auto format =
      py::reinterpret_steal<py::object>(PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(object)), name_of_format));
  PyErr_Clear();
  return format.ptr() == compiled_format ? AsFormatter(object)->line_format : nullptr;
}

}  // namespace reqtrail
