#include "pyext/asgi_module.h"

#include <string>

#include "pyext/asgi_middleware.h"
#include "pyext/instrument_fault.h"
#include "pyext/request_recorder.h"
#include "pyext/segment_object.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

py::object NewRecorder(const py::object& segment, const std::string& errors_namespace, const py::dict& access_levels,
                       const py::function& route_template, const py::function& on_error,
                       const py::function& on_access) {
  Segment* native = SegmentOf(segment.ptr());
  PyObject* recorder = native == nullptr ? nullptr
                                         : MakeRecorder(segment.ptr(), *native,
                                                        {.errors_namespace = errors_namespace,
                                                         .access_levels = access_levels.ptr(),
                                                         .route_template = route_template.ptr(),
                                                         .on_error = on_error.ptr(),
                                                         .on_access = on_access.ptr()});
  if (recorder == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(recorder);
}

}  // namespace

void BindAsgi(py::module_& module) {
  if (!InitRecorderType() || !AddAsgiMiddleware(module.ptr())) throw py::error_already_set();
  module.def("make_recorder", &NewRecorder, py::arg("segment"), py::kw_only(), py::arg("errors_namespace"),
             py::arg("access_levels"), py::arg("route_template"), py::arg("on_error"), py::arg("on_access"));
  module.def("set_asgi_marker", [](const py::function& function) { SetAsgiMarker(function.ptr()); });
  module.def("set_fault_handler", [](const py::function& handler) { SetFaultHandler(handler.ptr()); });
}

}  // namespace reqtrail
