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

}  // namespace reqtrail
