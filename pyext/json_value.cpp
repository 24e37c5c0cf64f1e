#include "pyext/json_value.h"

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

#include "pyext/ascii_text.h"
#include "pyext/new_reference.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

std::string_view TypeName(PyObject* object) { return Py_TYPE(object)->tp_name; }

/// `at`, or where the character of UTF-8 starts that would be cut there.
std::size_t CharacterStart(std::string_view text, std::size_t at) {
  std::size_t start = at;
  while (start > 0 && at - start < 3 && (static_cast<unsigned char>(text[start]) & 0xC0U) == 0x80) --start;
  return start;
}

/// The first elements of a collection, each a new reference in a tuple. Copies, because str() of one of them may run
/// any code, which may change the collection. An empty object with a Python error set.
py::object FirstElements(PyObject* collection, Py_ssize_t limit) {
  if (PyTuple_Check(collection)) return Steal(PyTuple_GetSlice(collection, 0, limit));
  if (PyList_Check(collection)) {
    const py::object slice = Steal(PyList_GetSlice(collection, 0, limit));
    return slice ? Steal(PyList_AsTuple(slice.ptr())) : py::object();
  }
  return Steal(PySequence_Tuple(collection));
}

/// Keys and values in turn, as a list; otherwise as FirstElements.
py::object FirstItems(PyObject* dict, Py_ssize_t limit) {
  py::object items = Steal(PyList_New(0));
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  for (Py_ssize_t at = 0, i = 0; items && i < limit && PyDict_Next(dict, &at, &key, &value) != 0; ++i) {
    if (PyList_Append(items.ptr(), key) < 0 || PyList_Append(items.ptr(), value) < 0) return {};
  }
  return items;
}

}  // namespace

bool ForgetException() noexcept {
  if (PyErr_Occurred() == nullptr) return true;
  if (PyErr_ExceptionMatches(PyExc_Exception) == 0) return false;
  PyErr_Clear();
  return true;
}

void JsonValueWriter::AppendStr(PyObject* str) { AppendStr(str, Cut::kEnd); }

void JsonValueWriter::AppendStrCutInside(PyObject* str) { AppendStr(str, Cut::kInside); }

void JsonValueWriter::AppendUtf8(std::string_view text, Cut cut) {
  if (text.size() <= style_.max_text_bytes) {
    AppendPlain(text);
    return;
  }
  const std::size_t kept_end = cut == Cut::kInside ? style_.max_text_bytes / 2 : 0;
  const std::string_view start = text.substr(0, CharacterStart(text, style_.max_text_bytes - kept_end));
  AppendPlain(start);
  out_.Truncate(out_.size() - 1);  // the quote
  out_.Append("...[" + std::to_string(text.size()) + " bytes]...");
  if (kept_end > 0) {
    TextBuffer end;
    AppendJsonString(end, text.substr(CharacterStart(text, text.size() - kept_end)), style_.charset);
    out_.Append(end.view().substr(1));
  } else {
    out_.Append('"');
  }
}

void JsonValueWriter::AppendStr(PyObject* str, Cut cut) {
  if (PyUnicode_IS_COMPACT_ASCII(str)) {
    AppendUtf8(AsciiView(str), cut);
    return;
  }
  Py_ssize_t size = 0;
  if (const char* text = PyUnicode_AsUTF8AndSize(str, &size); text != nullptr) {
    AppendUtf8({text, static_cast<std::size_t>(size)}, cut);
    return;
  }
  PyErr_Clear();  // a lone surrogate
  const py::object bytes = Steal(PyUnicode_AsEncodedString(str, "utf-8", "surrogatepass"));
  if (!bytes) {
    PyErr_Clear();
    out_.Append("null");
    return;
  }
  const auto length = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()));
  AppendUtf8({PyBytes_AS_STRING(bytes.ptr()), length}, cut);
}

bool JsonValueWriter::AppendText(PyObject* value, PyObject* (*text_of)(PyObject*)) {
  if (const py::object text = Steal(text_of(value))) {
    AppendStr(text.ptr());
    return true;
  }
  const std::string_view error =
      PyErr_Occurred() == nullptr ? "" : reinterpret_cast<PyTypeObject*>(PyErr_Occurred())->tp_name;
  const std::string failed = "<" + std::string(TypeName(value)) + ": no text, " + std::string(error) + ">";
  AppendUtf8(failed, Cut::kEnd);
  return ForgetException();
}

bool JsonValueWriter::Append(PyObject* value, int depth) {
  ++values_;
  if (IsFull()) {
    out_.Append("\"...\"");
    return true;
  }
  if (value == Py_None) {
    out_.Append("null");
  } else if (PyBool_Check(value)) {
    out_.Append(value == Py_True ? "true" : "false");
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
    AppendJsonNumber(out_, number);
    return true;
  }
  // int's own repr, because a subclass may print anything. It refuses more than 4300 digits.
  const py::object digits = Steal(PyLong_Type.tp_repr(value));
  if (!digits) return AppendText(value, PyObject_Repr);
  out_.Append(PyUnicode_AsUTF8(digits.ptr()));
  return true;
}

bool JsonValueWriter::AppendDict(PyObject* dict, int depth) {
  const py::object items = depth < kMaxDepth ? FirstItems(dict, kMaxValues) : py::object();
  if (!items) {
    out_.Append("\"{...}\"");
    return ForgetException();
  }
  out_.Append('{');
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items.ptr()) && !IsFull(); i += 2) {
    if (i > 0) out_.Append(',');
    const std::size_t key_at = out_.size() + 1;
    if (!AppendText(PyList_GET_ITEM(items.ptr(), i), PyObject_Str)) return false;
    const bool is_redacted = style_.redacted.Contains(out_.view().substr(key_at, out_.size() - key_at - 1));
    out_.Append(':');
    if (is_redacted) {
      out_.Append(kRedacted);
    } else if (!Append(PyList_GET_ITEM(items.ptr(), i + 1), depth + 1)) {
      return false;
    }
  }
  out_.Append('}');
  return true;
}

bool JsonValueWriter::AppendElements(PyObject* collection, int depth) {
  const py::object elements = depth < kMaxDepth ? FirstElements(collection, kMaxValues + 1) : py::object();
  if (!elements) {
    out_.Append("\"[...]\"");
    return ForgetException();
  }
  out_.Append('[');
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(elements.ptr()) && !IsFull(); ++i) {
    if (i > 0) out_.Append(',');
    if (!Append(PyTuple_GET_ITEM(elements.ptr(), i), depth + 1)) return false;
  }
  out_.Append(']');
  return true;
}

}  // namespace reqtrail
