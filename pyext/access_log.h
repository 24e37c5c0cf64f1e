#pragma once

#include <pybind11/pybind11.h>

#include "pyext/record_attributes.h"

namespace reqtrail {

/// What an access line tells of a request. Borrowed.
struct AccessLine {
  const char* method;
  PyObject* endpoint;  ///< a str
  int status;
  double seconds;
};

/// What access lines are made of. Borrowed.
struct AccessLogOptions {
  PyObject* logger;      ///< a logging.Logger
  PyObject* attributes;  ///< dict of str and int: what all its records have in common, by the names of a LogRecord's
  PyObject* write;       ///< (method, endpoint, status_code, seconds) -> None: writes the line by way of logging
};

/// Writes the lines that requests leave in the log when they end. A line whose record nobody would see but one
/// `JSONHandler` goes to that handler without a record being made; any other goes through logging, as it is set up at
/// that moment. REQUIRES: the GIL for everything, and InitAccessLog before.
class AccessLog {
 public:
  /// Takes references of its own.
  explicit AccessLog(const AccessLogOptions& options);

  /// REQUIRES: no Python error is set. Leaves none: its faults are reported.
  void Write(const AccessLine& line) noexcept;

  int Traverse(visitproc visit, void* arg) noexcept;

 private:
  [[nodiscard]] pybind11::object OnlyHandler() const;
  [[nodiscard]] bool WriteTo(PyObject* handler, const AccessLine& line) const;
  [[nodiscard]] bool WriteEitherWay(const AccessLine& line) const;

  pybind11::object logger_;
  pybind11::object levels_;  ///< the logger's memory of which levels are enabled: a dict, or empty where it has none
  RecordAttributes attributes_;  ///< what all lines have in common
  pybind11::object write_;
};

/// Imports logging, and interns names. False with a Python error set.
[[nodiscard]] bool InitAccessLog();

}  // namespace reqtrail
