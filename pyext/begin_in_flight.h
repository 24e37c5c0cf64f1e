#pragma once

#include <Python.h>

#include "pyext/driver_method.h"

namespace reqtrail {

struct BeginInFlight;

/// Decides what the end of `inner` means. `*result` is what it returned, or nullptr with its error set. Returns what is
/// to be stepped in its place, or nullptr: `*result`, which may be replaced, or the Python error is the end.
using Settle = PyObject* (*)(const BeginInFlight& begin, PyObject** result);

/// A BEGIN with an id that the driver's own coroutine or generator is sending. It is awaited or iterated in place of
/// that one, and steps it with no frame in between. REQUIRES: the GIL.
struct BeginInFlight {
  PyObject_HEAD DriverMethod* method;
  PyObject* connection;
  PyObject* command;  ///< the driver's plain BEGIN
  PyObject* timeout;  ///< as the driver was given it, or None
  PyObject* inner;    ///< what is stepped; nullptr when it has ended
  Settle settle;      ///< nullptr once it has decided
  bool is_running;
};

/// Makes the type. False with a Python error set. REQUIRES: InitAsgiNames before.
[[nodiscard]] bool InitBeginInFlight();

/// A new one. Steals `inner`, which may be nullptr with an error set: so is the result then.
[[nodiscard]] PyObject* MakeBeginInFlight(DriverMethod* method, PyObject* connection, PyObject* command,
                                          PyObject* timeout, PyObject* inner, Settle settle);

}  // namespace reqtrail
