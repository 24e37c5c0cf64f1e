#include "pyext/metrics_module.h"

#include <memory>
#include <string>
#include <utility>

#include "core/latency_buckets.h"
#include "metrics/exposition.h"
#include "pyext/metric_arguments.h"
#include "pyext/metric_types.h"

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

// Not by pybind11's own conversion: it makes memory that nobody initialized for an object made by __new__ alone.
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

py::tuple Render(const py::object& self, const std::string& accept) {
  Segment& segment = Opened(self);
  const ExpositionFormat format = ChooseFormat(accept);
  std::string body;
  {
    const py::gil_scoped_release release;
    body = Expose(segment, format);
  }
  const std::string_view type = ContentType(format);
  return py::make_tuple(py::bytes(body), py::str(type.data(), type.size()));
}

}  // namespace

Segment* SegmentOf(PyObject* object) {
  if (py::isinstance<Segment>(object)) {
    if (reinterpret_cast<py::detail::instance*>(object)->get_value_and_holder().holder_constructed()) {
      return py::handle(object).cast<Segment*>();
    }
    PyErr_SetString(PyExc_TypeError, "Segment.__init__() was not called");
    return nullptr;
  }
  PyErr_Format(PyExc_TypeError, "a metrics Segment is needed, not %.100s", Py_TYPE(object)->tp_name);
  return nullptr;
}

void BindMetrics(py::module_& module) {
  const SegmentOptions defaults;
  py::class_<Segment>(module, "Segment")
      .def(py::init(&OpenSegment), py::arg("service") = defaults.service, py::arg("directory") = "", py::kw_only(),
           py::arg("capacity_bytes") = defaults.capacity_bytes, py::arg("max_series") = defaults.max_series)
      .def("render", &Render, py::arg("accept") = "")
      .def_property_readonly("path", &Get<&Segment::path>)
      .def_property_readonly("series", &Get<&Segment::series>)
      .def_property_readonly("series_dropped", &Get<&Segment::series_dropped>)
      .def_property_readonly("set_aside", &Get<&Segment::set_aside>)
      .def_property_readonly("max_series", &Get<&Segment::max_series>);
  py::tuple buckets(kLatencyBuckets.size());
  for (std::size_t i = 0; i < kLatencyBuckets.size(); ++i) buckets[i] = kLatencyBuckets[i];
  module.attr("LATENCY_BUCKETS") = buckets;
  if (!AddMetricTypes(module.ptr())) throw py::error_already_set();
}

}  // namespace reqtrail
