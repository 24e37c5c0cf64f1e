#pragma once

#include <Python.h>

namespace reqtrail {

/// Adds to `module` what makes the methods of SQLAlchemy's pool that count, in place of those of its class `base`:
///
/// `pool_connect(base, series)` is Pool.connect, `pool_return_conn(base, series)` is Pool._return_conn. `series` is a
/// CountedPool. What is rare is done by its methods: begin(pool) begins to count in this process, and returns the
/// PoolCounts or None; first_check_out(counts, info) takes a connection in that was not idle in the pool, whose
/// record_info is `info`; no_check_out(counts, waited, error) is told of a checkout that failed after `waited` seconds;
/// fail(fault) is told of a fault of the counting, which never keeps the pool from its work.
///
/// `POOL_PLACE` is the name in record_info of a connection's PoolPlace, whose method give_back() takes it out.
///
/// False with a Python error set. REQUIRES: the GIL, AddPoolPlace and AddBeginMethods before.
[[nodiscard]] bool AddPoolMethods(PyObject* module);

}  // namespace reqtrail
