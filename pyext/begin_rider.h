#pragma once

#include <Python.h>

#include "pyext/request_id_text.h"
#include "worker_hooks/owned.h"

namespace reqtrail {

/// What `reqtrail.begin.BeginRider` extends: the part of it that is asked at each BEGIN. REQUIRES: the GIL.
struct Rider {
  PyObject_HEAD PyObject* set_local;  ///< str of ASCII that ends where the id begins, or None: nothing rides
  PyObject* quiet;  ///< set of weak references to the connections whose next BEGIN is none of the request
  char is_on;
};

inline Rider* RiderOf(PyObject* object) noexcept { return reinterpret_cast<Rider*>(object); }

/// Adds the type `Rider` to `module`. False with a Python error set.
[[nodiscard]] bool AddRider(PyObject* module);

/// Whether `object` is a Rider; if not, with TypeError set.
[[nodiscard]] bool CheckRider(PyObject* object);

/// The statement up to where the id begins, a str of ASCII; none, without an error, when nothing may ride on what
/// `connection` sends next. To be asked last: what runs Python may change it.
[[nodiscard]] Owned FrontFor(const Rider* rider, PyObject* connection) noexcept;

}  // namespace reqtrail
