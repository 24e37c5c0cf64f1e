#pragma once

#include <Python.h>

#include <optional>
#include <string_view>
#include <vector>

#include "metrics/exemplar.h"
#include "metrics/result.h"

/// What the methods of metrics take, from Python to C++. REQUIRES throughout: the GIL.
namespace reqtrail {

/// The UTF-8 of a str, which owns it. Nothing, with UnicodeEncodeError (a ValueError) set, for a lone surrogate.
[[nodiscard]] std::optional<std::string_view> Utf8Of(PyObject* text);

/// The UTF-8 of each item of a tuple of str, which owns them. Nothing with a Python error set.
[[nodiscard]] std::optional<std::vector<std::string_view>> Utf8OfAll(PyObject* tuple_of_str);

/// The numbers of a tuple. Nothing with a Python error set.
[[nodiscard]] std::optional<std::vector<double>> BoundsOf(PyObject* tuple);

/// The label values of a call `labels(*values)` or `labels(**values)` in the order of `label_names`, as a new tuple of
/// str. nullptr with the ValueError that prometheus_client raises for the same mistake.
[[nodiscard]] PyObject* LabelValues(PyObject* label_names, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames);

/// Adds the labels of an exemplar, given as a dict. False with ValueError or TypeError set if it is none.
[[nodiscard]] bool AddExemplar(PyObject* dict, ExemplarLabels& labels);

/// What `inc(amount, exemplar)` and `observe(amount, exemplar)` were called with. `exemplar` is borrowed; nullptr: not
/// given.
struct AmountAndExemplar {
  double amount = 1;
  PyObject* exemplar = nullptr;
};

/// Nothing with TypeError set. Without `default_amount` the amount must be given.
[[nodiscard]] std::optional<AmountAndExemplar> ParseAmount(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                                                           bool has_default_amount);

/// The one number of a call like `set(value)`. Nothing with TypeError set. `name` is its keyword; without it, 1 if it
/// has a default.
[[nodiscard]] std::optional<double> ParseValue(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                                               const char* name, bool has_default);

/// Sets the Python error for a refusal: ValueError for kInvalid and kConflict, PermissionError for kUnsafe, else
/// OSError with its errno (ENOSPC for kFull).
void SetPythonError(const MetricsError& error);

}  // namespace reqtrail
