#pragma once

#include <Python.h>

namespace reqtrail {

/// Whether the argument `*argument` of a call from Python code is held by that call alone: by its place on the value
/// stack of the calling frame, which drops it after the call. Nobody can look at it afterwards, as somebody can at what
/// compiled code has in an array of its own. From CPython 3.14 on it is what that calls a unique temporary: there any
/// place on that stack will do, and compiled code that borrows an argument of the call that it serves is not seen.
/// REQUIRES: the GIL.
[[nodiscard]] bool IsStackTemporary(PyObject* const* argument) noexcept;

}  // namespace reqtrail
