#pragma once

#include <Python.h>

namespace reqtrail {

/// Whether the argument `*argument` of a call from Python code is held by that call alone: by its place on the value
/// stack of the calling frame, which drops it after the call. Nobody can look at it afterwards, as somebody can at what
/// compiled code has in an array of its own. What CPython 3.14 calls a unique temporary, for the versions before, too.
/// REQUIRES: the GIL.
[[nodiscard]] bool IsStackTemporary(PyObject* const* argument) noexcept;

}  // namespace reqtrail
