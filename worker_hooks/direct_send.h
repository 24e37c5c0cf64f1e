#pragma once

#include <Python.h>

namespace reqtrail {

/// Adds the type DirectSend to `module`. False with a Python error set. REQUIRES: the GIL, and InitTaskNames before.
///
/// DirectSend(signal, receiver)
///   To be put in the place of `signal.send`, of a celery Signal: while `receiver` is the only one that is connected,
///   it is called with the named arguments as they are; otherwise, Celery's own `send` is. The receiver does not get
///   the argument `signal`, and raises nothing. Celery's search for receivers takes longer than all that ours do.
[[nodiscard]] bool AddDirectSend(PyObject* module);

}  // namespace reqtrail
