#include <pybind11/pybind11.h>

#include "core/id_generator.h"
#include "core/request_id.h"

namespace py = pybind11;

PYBIND11_MODULE(_native, m) {
  m.doc() = "The compiled half of reqtrail.";
  m.attr("__version__") = REQTRAIL_VERSION;
  m.def("is_request_id", &reqtrail::IsRequestId, py::arg("id"));
  m.def("generate_uuid4", [] {
    const reqtrail::UuidText id = reqtrail::GenerateUuid4();
    return py::str(id.data(), id.size());
  });
}
