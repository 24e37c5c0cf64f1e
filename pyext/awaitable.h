#pragma once

#include <Python.h>

namespace reqtrail {

/// What `await awaitable` would step: coroutines and generator-based coroutines themselves, for others what `__await__`
/// returns. A new reference, or nullptr with the TypeError that `await` raises.
[[nodiscard]] PyObject* AwaitableIterator(PyObject* awaitable);

/// Raises StopIteration(value), as a coroutine that returns `value` does. Steals the reference.
void RaiseStopIteration(PyObject* value);

/// The value of the StopIteration that is the current error, which is taken away; nullptr, and the error is left alone,
/// if it is another one. A new reference.
[[nodiscard]] PyObject* TakeStopIteration();

/// Sets the error that throw(type[, value[, traceback]]) describes, as a coroutine understands its arguments.
void RaiseThrown(PyObject* const* args, Py_ssize_t count);

/// What throw(args...) of the iterator returns, or nullptr with an error. One that has no throw() is left where it is,
/// and the error is the one that was to be thrown: what a coroutine does with such an awaitable.
[[nodiscard]] PyObject* ThrowInto(PyObject* iterator, PyObject* const* args, Py_ssize_t count);

}  // namespace reqtrail
