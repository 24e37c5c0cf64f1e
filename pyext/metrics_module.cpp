#include "pyext/metrics_module.h"

#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/latency_buckets.h"
#include "metrics/exposition.h"
#include "metrics/service_processes.h"
#include "pyext/metric_arguments.h"
#include "pyext/metric_types.h"
#include "pyext/segment_object.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

std::unique_ptr<Segment> OpenSegment(const std::string& service, const std::string& directory,
                                     std::uint64_t capacity_bytes, std::uint64_t max_series) {
  Result<std::unique_ptr<Segment>> segment = Segment::Open(
      {.service = service, .directory = directory, .capacity_bytes = capacity_bytes, .max_series = max_series});
  if (segment.ok()) return std::move(segment).value();
  SetPythonError(segment.error());
  throw py::error_already_set();
}

Segment& Opened(const py::object& self) {
  Segment* segment = SegmentOf(self.ptr());
  if (segment == nullptr) throw py::error_already_set();
  return *segment;
}

// A read-only property.
template <auto member>
auto Get(const py::object& self) {
  return (Opened(self).*member)();
}

py::tuple Render(const py::object& self, const std::string& accept, const std::vector<std::string>& names,
                 ServiceProcesses* processes) {
  Segment& segment = Opened(self);
  const ExpositionFormat format = ChooseFormat(accept);
  std::string body;
  {
    const py::gil_scoped_release release;
    const std::vector<std::string_view> views(names.begin(), names.end());
    body = Expose(segment, {.format = format, .names = views, .processes = processes});
  }
  const std::string_view type = ContentType(format);
  return py::make_tuple(py::bytes(body), py::str(type.data(), type.size()));
}

std::unique_ptr<ServiceProcesses> EnterService(const py::object& segment, const std::string& runtime_name,
                                               const std::vector<std::pair<std::string, std::string>>& labels) {
  Result<ServiceProcesses> processes = ServiceProcesses::Enter(Opened(segment), runtime_name, labels);
  if (processes.ok()) return std::make_unique<ServiceProcesses>(std::move(processes).value());
  SetPythonError(processes.error());
  throw py::error_already_set();
}

}  // namespace

void BindMetrics(py::module_& module) {
  const SegmentOptions defaults;
  py::class_<Segment>(module, "Segment")
      .def(py::init(&OpenSegment), py::arg("service") = defaults.service, py::arg("directory") = "", py::kw_only(),
           py::arg("capacity_bytes") = defaults.capacity_bytes, py::arg("max_series") = defaults.max_series)
      .def("render", &Render, py::arg("accept") = "", py::arg("names") = std::vector<std::string>(),
           py::arg("processes") = nullptr)
      .def_property("show_created", &Get<&Segment::show_created>,
                    [](const py::object& self, bool show) { Opened(self).set_show_created(show); })
      .def_property_readonly("path", &Get<&Segment::path>)
      .def_property_readonly("series", &Get<&Segment::series>)
      .def_property_readonly("series_dropped", &Get<&Segment::series_dropped>)
      .def_property_readonly("set_aside", &Get<&Segment::set_aside>)
      .def_property_readonly("max_series", &Get<&Segment::max_series>);
  py::class_<ServiceProcesses>(module, "ServiceProcesses")
      .def(py::init(&EnterService), py::arg("segment"), py::arg("runtime_name"), py::arg("runtime_labels"),
           py::keep_alive<1, 2>())
      .def("enter_child", &ServiceProcesses::EnterChild);
  module.def("accepts_gzip", &AcceptsGzip, py::arg("accept_encoding"));
  py::tuple buckets(kLatencyBuckets.size());
  for (std::size_t i = 0; i < kLatencyBuckets.size(); ++i) buckets[i] = kLatencyBuckets[i];
  module.attr("LATENCY_BUCKETS") = buckets;
  if (!AddMetricTypes(module.ptr())) throw py::error_already_set();
}

}  // namespace reqtrail
