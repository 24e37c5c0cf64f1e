#pragma once

#include <Python.h>

namespace reqtrail {

/// Adds the type `PoolPlace` to `module`: the part of one connection in the gauges `idle` and `checked_out` of its
/// pool. It is in one of them, or in none.
///
/// `enter(counts)`: be in `checked_out` from here on, of this PoolCounts. ValueError unless it is in none.
/// `leave()`: be in none. Returns the PoolCounts, or None when it was in none already.
/// `forget()`: be in none without a change of the gauges, as a child made by fork has parts of its own.
///
/// They raise what the methods of a Gauge raise. False with a Python error set. REQUIRES: the GIL, here and below; and
/// AddPoolCounts before.
[[nodiscard]] bool AddPoolPlace(PyObject* module);

/// Whether `object`, which may be nullptr, is a place.
[[nodiscard]] bool IsPoolPlace(PyObject* object) noexcept;

/// Moves from idle to checked_out. 1; 0 when it is not idle in the pool that counts in `counts`; -1 with a Python error
/// set.
[[nodiscard]] int CheckOut(PyObject* place, PyObject* counts);

/// Moves from checked_out to idle, or does nothing. False with a Python error set.
[[nodiscard]] bool CheckIn(PyObject* place);

}  // namespace reqtrail
