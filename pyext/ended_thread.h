#pragma once

#include <Python.h>

namespace reqtrail {

/// CPython before 3.14 ends a daemon thread that asks for the GIL while the interpreter ends: it unwinds the thread's
/// stack. Of ours, that would run destructors which need the GIL, and it ends the process where a function is noexcept.
/// With these two the thread stays where it is instead, as CPython 3.14 lets it, and goes with the process.

/// PyEval_RestoreThread for a frame that holds Python objects.
void RestoreThread(PyThreadState* state);

/// Lets a thread of an ended interpreter stay where a noexcept function would call std::terminate. Any other end of the
/// process is left to the handler that was there before. To be called once.
void KeepEndedThreads() noexcept;

}  // namespace reqtrail
