#pragma once

#include <Python.h>

#include "pyext/metric_object.h"

namespace reqtrail {

/// What one pool counts in one process, as far as each checkout does: what `reqtrail._pool_series._PoolCounts` extends.
/// It does not change.
struct PoolCounts {
  PyObject_HEAD MetricObject* waiting;  ///< a gauge, as all but `wait`
  MetricObject* wait;                   ///< a histogram
  MetricObject* idle;
  MetricObject* checked_out;
};

/// What `reqtrail._pool_series.PoolSeries` extends: it knows where its pool counts in this process.
struct CountedPool {
  PyObject_HEAD PyObject* counts;  ///< a PoolCounts; nullptr while it does not count
};

inline PoolCounts* CountsOf(PyObject* object) noexcept { return reinterpret_cast<PoolCounts*>(object); }

/// Adds two types to `module`. REQUIRES: the GIL, here and below.
///
/// `PoolCounts(waiting, wait, idle, checked_out)`, which are its attributes.
/// `CountedPool()` has the attribute `counts`, a PoolCounts or None. `keep(counts)`: be this one, unless there is one
/// already. Returns the one that it is then. `take()`: be None. Returns the one that it was.
///
/// False with a Python error set.
[[nodiscard]] bool AddPoolCounts(PyObject* module);

/// Whether `object` is a PoolCounts; if not, with TypeError set.
[[nodiscard]] bool CheckPoolCounts(PyObject* object);

/// The same of a CountedPool.
[[nodiscard]] bool CheckCountedPool(PyObject* object);

}  // namespace reqtrail
