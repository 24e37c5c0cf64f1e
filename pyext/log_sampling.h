#pragma once

#include <pybind11/pybind11.h>

#include <vector>

namespace reqtrail {

/// Lets only a part of the access lines of noisy endpoints pass: evenly, and the first one always. What is no access
/// line passes, and so does one that tells of an error: a status of 400 or more, or WARNING or worse. REQUIRES: the GIL
/// for everything.
class AccessSampling {
 public:
  /// `rates` is {endpoint: (rate, count)}: a float from 0 to 1, and a callable that is called for each line held back.
  /// The endpoint "*" stands for all others. Throws pybind11::error_already_set for anything else.
  explicit AccessSampling(const pybind11::dict& rates);

  /// Whether the record with these attributes (a dict) is to be written. Leaves no Python error.
  [[nodiscard]] bool Passes(PyObject* attributes);

  /// The same of an access line of level INFO; nullptr for what it does not have.
  [[nodiscard]] bool PassesLine(PyObject* status_code, PyObject* endpoint);

 private:
  struct Endpoint {
    double rate;
    double owed;  ///< lines that may pass; one does at 1
    pybind11::object count;
  };

  [[nodiscard]] Endpoint* Find(PyObject* endpoint);
  [[nodiscard]] bool HasTurn(PyObject* name);

  pybind11::dict places_;  ///< in endpoints_, by name
  std::vector<Endpoint> endpoints_;
  pybind11::str name_{"name"};
  pybind11::str endpoint_{"endpoint"};
  pybind11::str levelno_{"levelno"};
  pybind11::str status_code_{"status_code"};
  pybind11::str all_others_{"*"};
};

}  // namespace reqtrail
