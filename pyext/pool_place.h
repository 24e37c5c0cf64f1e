#pragma once

#include <Python.h>

namespace reqtrail {

/// Adds the type `PoolPlace` to `module`: the part of one connection in the gauges `idle` and `checked_out` of its
/// pool. It is in one of them, or in none.
///
/// `enter(pool, idle, checked_out)`: be in `checked_out` from here on, of this pool. REQUIRES: it is in none.
/// `check_out(pool)`: move from idle to checked_out; False when it is not idle in this pool.
/// `check_in()`: move from checked_out to idle, or do nothing.
/// `leave()`: be in none. Returns the pool, or None when it was in none already.
/// `forget()`: be in none without a change of the gauges, as a child made by fork has parts of its own.
///
/// They raise what the methods of a Gauge raise. False with a Python error set. REQUIRES: the GIL.
[[nodiscard]] bool AddPoolPlace(PyObject* module);

}  // namespace reqtrail
