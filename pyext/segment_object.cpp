#include "pyext/segment_object.h"

#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace reqtrail {

// Not by pybind11's own conversion: it makes memory that nobody initialized for an object made by __new__ alone.
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

}  // namespace reqtrail
