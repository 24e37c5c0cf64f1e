#pragma once

#include <Python.h>

#include "worker_hooks/owned.h"

namespace reqtrail {

/// The Celery applications that are followed. They are not kept alive. REQUIRES: the GIL.
class FollowedApps {
 public:
  /// False with a Python error set.
  [[nodiscard]] bool Add(PyObject* app);
  [[nodiscard]] bool Remove(PyObject* app);

  /// Whether it is one of them, or a proxy for one. Sets no error.
  [[nodiscard]] bool Has(PyObject* app) const noexcept;
  [[nodiscard]] bool IsEmpty() const noexcept { return !references_ || PyList_GET_SIZE(references_.get()) == 0; }

 private:
  Owned references_;  ///< a list of weak references, made at the first Add
};

}  // namespace reqtrail
