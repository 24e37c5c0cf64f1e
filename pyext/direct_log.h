#pragma once

#include <pybind11/pybind11.h>

#include "pyext/record_attributes.h"

namespace reqtrail {

/// The way of one logger's records of level INFO to the `JSONHandler` that alone would see them, without the records.
/// Any other goes through logging, as it is set up at that moment. REQUIRES: the GIL for everything, and InitDirectLog
/// before.
class DirectLog {
 public:
  /// `logger` is a logging.Logger; `attributes` a dict of str and int: what all its records have in common, by the
  /// names of a LogRecord's. Takes references of its own.
  DirectLog(PyObject* logger, PyObject* attributes);

  /// Whether the logger knows that nobody reads INFO.
  [[nodiscard]] bool IsOff() const noexcept;

  /// The handler, which takes attributes (json_log_handler.h); empty where a record has to be made.
  [[nodiscard]] pybind11::object OnlyHandler() const;

  /// What a record that is made now would hold; the rest is to be set. May leave a Python error: MemoryError.
  [[nodiscard]] RecordAttributes AttributesNow() const;

  int Traverse(visitproc visit, void* arg) const noexcept;

 private:
  [[nodiscard]] PyObject* Enabled() const noexcept;

  pybind11::object logger_;
  pybind11::object levels_;  ///< the logger's memory of which levels are enabled: a dict, or empty where it has none
  RecordAttributes attributes_;
};

/// Imports logging, and interns names. False with a Python error set.
[[nodiscard]] bool InitDirectLog();

}  // namespace reqtrail
