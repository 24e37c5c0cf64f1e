#include "pyext/asgi_module.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "pyext/asgi_call.h"
#include "pyext/asgi_middleware.h"
#include "pyext/instrument_fault.h"
#include "pyext/request_recorder.h"
#include "pyext/segment_object.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

// What the keywords of make_recorder say about metrics; `names` are those of the families that are wanted.
HttpMetricsOptions MetricsOptions(std::string_view errors_namespace, const std::vector<double>& buckets,
                                  const std::vector<std::string>& names, bool group_status_codes) {
  const auto wanted = [&](std::string_view name) { return std::ranges::find(names, name) != names.end(); };
  return {.errors_namespace = errors_namespace,
          .buckets = buckets,
          .group_status_codes = group_status_codes,
          .requests = wanted("requests"),
          .duration = wanted("duration"),
          .inprogress = wanted("inprogress"),
          .errors = wanted("errors")};
}

py::object NewRecorder(const py::object& segment, const std::string& errors_namespace,
                       const std::vector<double>& buckets, const std::vector<std::string>& metrics,
                       bool group_status_codes, bool count_4xx, const py::function& route_template,
                       const py::object& is_excluded, const py::object& is_skipped, const py::function& is_cancellation,
                       const py::function& on_error, const py::object& access_logger, const py::dict& access_attributes,
                       const py::function& on_access) {
  Segment* native = SegmentOf(segment.ptr());
  if (native == nullptr) throw py::error_already_set();
  const RecorderOptions options{
      .metrics = MetricsOptions(errors_namespace, buckets, metrics, group_status_codes),
      .count_4xx = count_4xx,
      .route_template = route_template.ptr(),
      .is_excluded = is_excluded.ptr(),
      .is_skipped = is_skipped.ptr(),
      .is_cancellation = is_cancellation.ptr(),
      .on_error = on_error.ptr(),
      .access = {.logger = access_logger.ptr(), .attributes = access_attributes.ptr(), .write = on_access.ptr()}};
  PyObject* recorder = MakeRecorder(segment.ptr(), *native, options);
  if (recorder == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(recorder);
}

py::object CountCaptured(const char* error_type) {
  PyObject* place = CountCapturedError(error_type);
  if (place == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(place);
}

}  // namespace

void BindAsgi(py::module_& module) {
  if (!InitRecorderType() || !AddAsgiMiddleware(module.ptr())) throw py::error_already_set();
  module.def("make_recorder", &NewRecorder, py::arg("segment"), py::kw_only(), py::arg("errors_namespace"),
             py::arg("buckets"), py::arg("metrics"), py::arg("group_status_codes"), py::arg("count_4xx"),
             py::arg("route_template"), py::arg("is_excluded"), py::arg("is_skipped"), py::arg("is_cancellation"),
             py::arg("on_error"), py::arg("access_logger"), py::arg("access_attributes"), py::arg("on_access"));
  module.def("count_captured_error", &CountCaptured, py::arg("error_type"));
  module.def("set_asgi_marker", [](const py::function& function) { SetAsgiMarker(function.ptr()); });
  module.def("set_fault_handler", [](const py::function& handler) { SetFaultHandler(handler.ptr()); });
}

}  // namespace reqtrail
