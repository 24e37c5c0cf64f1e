#include "pyext/log_sampling.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

constexpr long kWarning = 30;
constexpr long kFirstErrorStatus = 400;

/// Whether `value` is a number that is at least `limit`.
bool Reaches(PyObject* value, long limit) {
  const long number = value != nullptr && PyLong_Check(value) ? PyLong_AsLong(value) : 0;
  PyErr_Clear();
  return number >= limit;
}

}  // namespace

AccessSampling::AccessSampling(const py::dict& rates) {
  for (const auto& [endpoint, how] : rates) {
    const auto [rate, count] = how.cast<std::pair<double, py::object>>();
    places_[endpoint] = endpoints_.size();
    endpoints_.push_back({.rate = rate, .owed = 1 - rate, .count = count});
  }
}

AccessSampling::Endpoint* AccessSampling::Find(PyObject* endpoint) {
  PyObject* place = endpoint == nullptr ? nullptr : PyDict_GetItemWithError(places_.ptr(), endpoint);
  if (place == nullptr) place = PyDict_GetItemWithError(places_.ptr(), all_others_.ptr());
  PyErr_Clear();
  return place == nullptr ? nullptr : &endpoints_.at(PyLong_AsSize_t(place));
}

bool AccessSampling::Passes(PyObject* attributes) {
  const auto value = [attributes](const py::str& name) { return PyDict_GetItemWithError(attributes, name.ptr()); };
  PyObject* logger = value(name_);
  const bool is_access_line =
      logger != nullptr && PyUnicode_Check(logger) && PyUnicode_CompareWithASCIIString(logger, "reqtrail.access") == 0;
  PyErr_Clear();
  return !is_access_line || Reaches(value(levelno_), kWarning) || Reaches(value(status_code_), kFirstErrorStatus) ||
         HasTurn(value(endpoint_));
}

bool AccessSampling::PassesLine(PyObject* status_code, PyObject* endpoint) {
  return Reaches(status_code, kFirstErrorStatus) || HasTurn(endpoint);
}

bool AccessSampling::HasTurn(PyObject* name) {
  Endpoint* endpoint = Find(name);
  if (endpoint == nullptr) return true;
  constexpr double kRoundingError = 1e-9;
  endpoint->owed += endpoint->rate;
  if (endpoint->owed >= 1 - kRoundingError && endpoint->rate > 0) {
    endpoint->owed -= 1;
    return true;
  }
  const auto counted = py::reinterpret_steal<py::object>(PyObject_CallNoArgs(endpoint->count.ptr()));
  PyErr_Clear();
  return false;
}

}  // namespace reqtrail
