#pragma once

#include <pybind11/pybind11.h>

#include "pyext/direct_log.h"

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

/// Writes the lines that requests leave in the log when they end, directly where that can be (direct_log.h). REQUIRES:
/// the GIL for everything.
class AccessLog {
 public:
  /// Takes references of its own.
  explicit AccessLog(const AccessLogOptions& options);

  /// REQUIRES: no Python error is set. Leaves none: its faults are reported.
  void Write(const AccessLine& line) noexcept;

  int Traverse(visitproc visit, void* arg) noexcept;

 private:
  [[nodiscard]] bool WriteTo(PyObject* handler, const AccessLine& line) const;
  [[nodiscard]] bool WriteEitherWay(const AccessLine& line) const;

  DirectLog log_;
  pybind11::object write_;
};

}  // namespace reqtrail
