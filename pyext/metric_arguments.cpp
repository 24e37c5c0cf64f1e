#include "pyext/metric_arguments.h"

#include <cerrno>
#include <string>

#include "metrics/names.h"
#include "pyext/ascii_text.h"

namespace reqtrail {
namespace {

PyObject* ValueError(const char* message) {
  PyErr_SetString(PyExc_ValueError, message);
  return nullptr;
}

PyObject* NewString(PyObject* value) {
  if (PyUnicode_CheckExact(value)) {
    Py_INCREF(value);
    return value;
  }
  return PyObject_Str(value);
}

// The position of `name` among the keyword names; -1 if it is not there.
Py_ssize_t FindKeyword(PyObject* kwnames, PyObject* name) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); ++i) {
    if (PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, i), name) == 0) return i;
  }
  return -1;
}

std::optional<double> NumberOf(PyObject* value) {
  if (PyFloat_CheckExact(value)) return PyFloat_AS_DOUBLE(value);
  const double number = PyFloat_AsDouble(value);
  if (number == -1 && PyErr_Occurred() != nullptr) return std::nullopt;
  return number;
}

// The UTF-8 of a name or value of an exemplar. Nothing with a Python error set.
std::optional<std::string_view> ExemplarText(PyObject* text, const char* what) {
  if (PyUnicode_Check(text)) return Utf8Of(text);
  PyErr_Format(PyExc_TypeError, "exemplar label %s must be str, not %.100s", what, Py_TYPE(text)->tp_name);
  return std::nullopt;
}

// REQUIRES: all names and values are str.
void SetExemplarTooLong(PyObject* dict) {
  Py_ssize_t characters = 0;
  Py_ssize_t position = 0;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  while (PyDict_Next(dict, &position, &key, &value) != 0) {
    characters += PyUnicode_GET_LENGTH(key) + PyUnicode_GET_LENGTH(value);
  }
  if (characters > static_cast<Py_ssize_t>(kExemplarMaxCharacters)) {
    PyErr_Format(PyExc_ValueError, "Exemplar labels have %zd UTF-8 characters, exceeding the limit of 128", characters);
  } else {
    PyErr_SetString(PyExc_ValueError, "Exemplar labels exceed the limit of 136 bytes of UTF-8, two a label included");
  }
}

}  // namespace

std::optional<std::string_view> Utf8Of(PyObject* text) {
  if (PyUnicode_Check(text) && PyUnicode_IS_COMPACT_ASCII(text)) return AsciiView(text);  // without a call
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(text, &size);
  if (data == nullptr) return std::nullopt;
  return std::string_view(data, static_cast<std::size_t>(size));
}

std::optional<std::vector<std::string_view>> Utf8OfAll(PyObject* tuple_of_str) {
  std::vector<std::string_view> texts;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple_of_str); ++i) {
    const std::optional<std::string_view> text = Utf8Of(PyTuple_GET_ITEM(tuple_of_str, i));
    if (!text) return std::nullopt;
    texts.push_back(*text);
  }
  return texts;
}

std::optional<std::vector<double>> BoundsOf(PyObject* tuple) {
  std::vector<double> bounds;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
    bounds.push_back(PyFloat_AsDouble(PyTuple_GET_ITEM(tuple, i)));
    if (PyErr_Occurred() != nullptr) return std::nullopt;
  }
  return bounds;
}

PyObject* LabelValues(PyObject* label_names, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  const Py_ssize_t expected = PyTuple_GET_SIZE(label_names);
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (nargs > 0 && named > 0) return ValueError("Can't pass both *args and **kwargs");
  if (named > 0 && named != expected) return ValueError("Incorrect label names");
  if (named == 0 && nargs != expected) return ValueError("Incorrect label count");

  PyObject* values = PyTuple_New(expected);
  if (values == nullptr) return nullptr;
  for (Py_ssize_t i = 0; i < expected; ++i) {
    const Py_ssize_t at = named > 0 ? FindKeyword(kwnames, PyTuple_GET_ITEM(label_names, i)) : i;
    PyObject* value = at < 0 ? ValueError("Incorrect label names") : NewString(args[at]);
    if (value == nullptr) {
      Py_DECREF(values);
      return nullptr;
    }
    PyTuple_SET_ITEM(values, i, value);
  }
  return values;
}

bool AddExemplar(PyObject* dict, ExemplarLabels& labels) {
  if (!PyDict_Check(dict)) {
    PyErr_Format(PyExc_TypeError, "exemplar must be a dict, not %.100s", Py_TYPE(dict)->tp_name);
    return false;
  }
  bool fits = true;
  Py_ssize_t position = 0;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  while (PyDict_Next(dict, &position, &key, &value) != 0) {
    const auto name = ExemplarText(key, "names");
    const auto text = name ? ExemplarText(value, "values") : std::nullopt;
    if (!text) return false;
    if (!IsLabelName(*name)) {
      PyErr_Format(PyExc_ValueError, "Invalid label metric name: %R", key);
      return false;
    }
    fits = fits && labels.Add(*name, *text);
  }
  if (fits) return true;
  SetExemplarTooLong(dict);
  return false;
}

std::optional<AmountAndExemplar> ParseAmount(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                                             bool has_default_amount) {
  PyObject* amount = nargs > 0 ? args[0] : nullptr;
  PyObject* exemplar = nargs > 1 ? args[1] : nullptr;
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  bool is_wrong = nargs > 2;
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, i);
    PyObject** place = nullptr;
    if (PyUnicode_CompareWithASCIIString(name, "exemplar") == 0) {
      place = &exemplar;
    } else if (PyUnicode_CompareWithASCIIString(name, "amount") == 0) {
      place = &amount;
    }
    is_wrong = is_wrong || place == nullptr || *place != nullptr;
    if (!is_wrong) *place = args[nargs + i];
  }
  if (is_wrong || (amount == nullptr && !has_default_amount)) {
    PyErr_SetString(PyExc_TypeError, "the arguments are: amount, exemplar=None");
    return std::nullopt;
  }
  AmountAndExemplar parsed{.amount = 1, .exemplar = exemplar == Py_None ? nullptr : exemplar};
  if (amount == nullptr) return parsed;
  const std::optional<double> number = NumberOf(amount);
  if (!number) return std::nullopt;
  parsed.amount = *number;
  return parsed;
}

std::optional<double> ParseValue(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, const char* name,
                                 bool has_default) {
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  if (nargs + named == 0 && has_default) return 1;
  const bool is_one = nargs + named == 1;
  if (is_one && (named == 0 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), name) == 0)) {
    return NumberOf(args[0]);
  }
  PyErr_Format(PyExc_TypeError, "one argument is taken: %s", name);
  return std::nullopt;
}

void SetPythonError(const MetricsError& error) {
  if (error.fault == MetricsFault::kInvalid || error.fault == MetricsFault::kConflict) {
    PyErr_SetString(PyExc_ValueError, error.message.c_str());
    return;
  }
  int os_error = error.os_error;
  if (error.fault == MetricsFault::kFull) os_error = ENOSPC;
  if (error.fault == MetricsFault::kUnsafe) os_error = EPERM;
  // OSError itself chooses the subclass that fits its errno, PermissionError for example.
  if (PyObject* exception = PyObject_CallFunction(PyExc_OSError, "is", os_error, error.message.c_str())) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception);
    Py_DECREF(exception);
  }
}

}  // namespace reqtrail
