#include "pyext/access_log.h"

#include "pyext/instrument_fault.h"
#include "pyext/json_log_handler.h"
#include "pyext/new_reference.h"

namespace py = pybind11;

namespace reqtrail {

AccessLog::AccessLog(const AccessLogOptions& options)
    : log_(options.logger, options.attributes), write_(py::reinterpret_borrow<py::object>(options.write)) {}

/// False with a Python error set.
bool AccessLog::WriteTo(PyObject* handler, const AccessLine& line) const {
  const py::object method = Steal(PyUnicode_FromString(line.method));
  const auto endpoint = py::reinterpret_borrow<py::object>(line.endpoint);
  const py::object status_code = Steal(PyLong_FromLong(line.status));
  if (!method || !status_code) return false;
  RecordAttributes attributes = log_.AttributesNow();
  attributes.Set(kArgs, Steal(PyTuple_Pack(3, method.ptr(), endpoint.ptr(), status_code.ptr())));
  attributes.Set(kMethod, method);
  attributes.Set(kEndpoint, endpoint);
  attributes.Set(kStatusCode, status_code);
  attributes.Set(kDuration, Steal(PyFloat_FromDouble(line.seconds)));
  return PyErr_Occurred() == nullptr && WriteAccessLine(handler, attributes);
}

/// False with a Python error set.
bool AccessLog::WriteEitherWay(const AccessLine& line) const {
  if (log_.IsOff()) return true;
  if (const py::object handler = log_.OnlyHandler()) return WriteTo(handler.ptr(), line);
  const py::object done =
      Steal(PyObject_CallFunction(write_.ptr(), "sOid", line.method, line.endpoint, line.status, line.seconds));
  return done.ptr() != nullptr;
}

void AccessLog::Write(const AccessLine& line) noexcept {
  if (!WriteEitherWay(line)) ReportFault("access line");
}

int AccessLog::Traverse(visitproc visit, void* arg) noexcept {
  Py_VISIT(write_.ptr());
  return log_.Traverse(visit, arg);
}

}  // namespace reqtrail
