#include "pyext/json_value.h"

#include <pybind11/pybind11.h>

#include <string_view>

namespace py = pybind11;

namespace reqtrail {
namespace {

py::object Steal(PyObject* object) { return py::reinterpret_steal<py::object>(object); }

std::string_view TypeName(PyObject* object) { return Py_TYPE(object)->tp_name; }

}  // namespace

bool ForgetException() noexcept {
  if (PyErr_Occurred() == nullptr) return true;
  if (PyErr_ExceptionMatches(PyExc_Exception) == 0) return false;
  PyErr_Clear();
  return true;
}

void JsonValueWriter::AppendStr(PyObject* str) {
  Py_ssize_t size = 0;
  if (const char* text = PyUnicode_AsUTF8AndSize(str, &size); text != nullptr) {
    AppendJsonString(out_, {text, static_cast<std::size_t>(size)}, charset_);
    return;
  }
  PyErr_Clear();  // a lone surrogate
  const py::object bytes = Steal(PyUnicode_AsEncodedString(str, "utf-8", "surrogatepass"));
  if (!bytes) {
    PyErr_Clear();
    out_ += "null";
    return;
  }
  const auto length = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()));
  AppendJsonString(out_, {PyBytes_AS_STRING(bytes.ptr()), length}, charset_);
}

bool JsonValueWriter::AppendText(PyObject* value, PyObject* (*text_of)(PyObject*)) {
  if (const py::object text = Steal(text_of(value))) {
    AppendStr(text.ptr());
    return true;
  }
  const std::string_view error =
      PyErr_Occurred() == nullptr ? "" : reinterpret_cast<PyTypeObject*>(PyErr_Occurred())->tp_name;
  const std::string failed = "<" + std::string(TypeName(value)) + ": no text, " + std::string(error) + ">";
  AppendJsonString(out_, failed, charset_);
  return ForgetException();
}

bool JsonValueWriter::Append(PyObject* value, int depth) {
  if (++values_ > kMaxValues) {
    out_ += "\"...\"";
    return true;
  }
  if (value == Py_None) {
    out_ += "null";
  } else if (PyBool_Check(value)) {
    out_ += value == Py_True ? "true" : "false";
  } else if (PyUnicode_Check(value)) {
    AppendStr(value);
  } else if (PyLong_Check(value)) {
    return AppendInt(value);
  } else if (PyFloat_Check(value)) {
    AppendJsonNumber(out_, PyFloat_AS_DOUBLE(value));
  } else if (PyDict_Check(value)) {
    return AppendDict(value, depth);
  } else if (PyList_Check(value) || PyTuple_Check(value) || PyAnySet_Check(value)) {
    return AppendElements(value, depth);
  } else {
    return AppendText(value, PyExceptionInstance_Check(value) ? PyObject_Repr : PyObject_Str);
  }
  return true;
}

bool JsonValueWriter::AppendInt(PyObject* value) {
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow == 0) {
    out_ += std::to_string(number);
    return true;
  }
  // int's own repr, because a subclass may print anything. It refuses more than 4300 digits.
  const py::object digits = Steal(PyLong_Type.tp_repr(value));
  if (!digits) return AppendText(value, PyObject_Repr);
  out_ += PyUnicode_AsUTF8(digits.ptr());
  return true;
}

bool JsonValueWriter::AppendDict(PyObject* dict, int depth) {
  // A copy: str() of a value may run any code, which may change the dict.
  const py::object items = Steal(depth < kMaxDepth ? PyDict_Items(dict) : nullptr);
  if (!items) {
    out_ += "\"{...}\"";
    return ForgetException();
  }
  out_ += '{';
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.ptr()); ++i) {
    PyObject* item = PyList_GET_ITEM(items.ptr(), i);
    if (i > 0) out_ += ',';
    if (!AppendText(PyTuple_GET_ITEM(item, 0), PyObject_Str)) return false;
    out_ += ':';
    if (!Append(PyTuple_GET_ITEM(item, 1), depth + 1)) return false;
    if (values_ > kMaxValues) break;
  }
  out_ += '}';
  return true;
}

bool JsonValueWriter::AppendElements(PyObject* collection, int depth) {
  const py::object elements = Steal(depth < kMaxDepth ? PySequence_Tuple(collection) : nullptr);
  if (!elements) {
    out_ += "\"[...]\"";
    return ForgetException();
  }
  out_ += '[';
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(elements.ptr()); ++i) {
    if (i > 0) out_ += ',';
    if (!Append(PyTuple_GET_ITEM(elements.ptr(), i), depth + 1)) return false;
    if (values_ > kMaxValues) break;
  }
  out_ += ']';
  return true;
}

}  // namespace reqtrail
