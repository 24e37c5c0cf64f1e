#include <pybind11/pybind11.h>

#include <string_view>

#include "core/id_generator.h"
#include "core/request_id.h"
#include "pyext/asgi_module.h"
#include "pyext/begin_methods.h"
#include "pyext/begin_rider.h"
#include "pyext/direct_log.h"
#include "pyext/ended_thread.h"
#include "pyext/instrument_fault.h"
#include "pyext/json_log_formatter.h"
#include "pyext/json_log_handler.h"
#include "pyext/log_sink_bindings.h"
#include "pyext/metrics_module.h"
#include "pyext/pool_counts.h"
#include "pyext/pool_methods.h"
#include "pyext/pool_place.h"
#include "pyext/request_context.h"
#include "pyext/request_id_text.h"
#include "pyext/segment_object.h"
#include "pyext/task_line.h"
#include "worker_hooks/task_hooks.h"

namespace py = pybind11;

namespace {

const char* RequestIdFaultOf(const py::str& id) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(id.ptr(), &size);
  if (text == nullptr) {
    PyErr_Clear();  // a lone surrogate
    return Describe(reqtrail::RequestIdFault::kForbiddenByte);
  }
  return Describe(reqtrail::CheckRequestId(std::string_view(text, static_cast<std::size_t>(size))));
}

}  // namespace

PYBIND11_MODULE(_native_of_main, m) {
  m.doc() = "The compiled half of reqtrail.";
  m.attr("__version__") = REQTRAIL_VERSION;
  reqtrail::KeepEndedThreads();
  if (!reqtrail::InitRequestContext() || !reqtrail::InitDirectLog()) throw py::error_already_set();
  m.attr("request_id_var") = py::reinterpret_borrow<py::object>(reqtrail::RequestIdVar());
  m.attr("traceparent_var") = py::reinterpret_borrow<py::object>(reqtrail::TraceparentVar());
  reqtrail::BindAsgi(m);
  PyObject* record_formatter = reqtrail::MakeRecordFormatterType();
  if (record_formatter == nullptr) throw py::error_already_set();
  m.attr("RecordFormatter") = py::reinterpret_steal<py::object>(record_formatter);
  PyObject* record_handler = reqtrail::MakeRecordHandlerType();
  if (record_handler == nullptr) throw py::error_already_set();
  m.attr("RecordHandler") = py::reinterpret_steal<py::object>(record_handler);
  reqtrail::BindLogSinks(m);
  reqtrail::BindTaskLine(m);
  m.def("is_request_id", [](const py::str& id) { return *RequestIdFaultOf(id) == '\0'; }, py::arg("id"));
  m.def("request_id_fault", &RequestIdFaultOf, py::arg("id"));
  m.def(
      "uuid7",
      [] {
        const reqtrail::UuidText id = reqtrail::GenerateUuid7();
        return py::str(id.data(), id.size());
      },
      "Return a new request id: a UUID of version 7 (RFC 9562), 36 characters, which sorts by the time of its "
      "making.\n\n"
      "It begins with the milliseconds since 1970 and 4,096ths of one; 62 bits are random. For the option `generator` "
      "of\n"
      "the middleware, whose own ids, of version 4, tell nobody when they were made.");
  if (!reqtrail::AddRequestIdText(m.ptr()) || !reqtrail::AddRider(m.ptr()) || !reqtrail::AddBeginMethods(m.ptr())) {
    throw py::error_already_set();
  }
  reqtrail::BindMetrics(m);
  if (!reqtrail::AddPoolCounts(m.ptr()) || !reqtrail::AddPoolPlace(m.ptr()) || !reqtrail::AddPoolMethods(m.ptr())) {
    throw py::error_already_set();
  }
  const reqtrail::TaskHooksHost host = {.request_id_var = reqtrail::RequestIdVar(),
                                        .traceparent_var = reqtrail::TraceparentVar(),
                                        .segment_of = &reqtrail::SegmentOf,
                                        .report_fault = &reqtrail::ReportFault};
  if (!reqtrail::AddTaskHooks(m.ptr(), host)) throw py::error_already_set();
}

// The types are made once for the process, and pybind11's own check for another interpreter waits for ever
// (Python 3.11).
PyMODINIT_FUNC PyInit__native() {  // NOLINT(bugprone-reserved-identifier,cert-dcl*): Python's name for it
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return PyInit__native_of_main();
  PyErr_SetString(PyExc_ImportError, "reqtrail does not support subinterpreters");
  return nullptr;
}
