#pragma once

#include <Python.h>

namespace reqtrail {

/// Adds `request_id_between(front, back)` to `module`: the str front + current request id + back, or None when there is
/// no current id or it is none by the rule of core/request_id.h. TypeError unless both are str of ASCII. One call makes
/// the text that rides on a transaction: it is the only place where an id becomes part of SQL. False with a Python
/// error set. REQUIRES: the GIL, and InitRequestContext before.
[[nodiscard]] bool AddRequestIdText(PyObject* module);

}  // namespace reqtrail
