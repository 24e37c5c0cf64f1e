#pragma once

#include <Python.h>

#include <string_view>

#include "pyext/request_id_text.h"

namespace reqtrail {

/// What `reqtrail.begin.BeginRider` extends: the part of it that is asked at each BEGIN. REQUIRES: the GIL.
struct Rider {
  PyObject_HEAD PyObject* set_local;  ///< str of ASCII that ends where the id begins, or None: nothing rides
  PyObject* quiet;                    ///< set of the connections whose next BEGIN is no transaction of the request
  char is_on;
};

inline Rider* RiderOf(PyObject* object) noexcept { return reinterpret_cast<Rider*>(object); }

/// Adds the type `Rider` to `module`. False with a Python error set.
[[nodiscard]] bool AddRider(PyObject* module);

/// Whether `object` is a Rider; if not, with TypeError set.
[[nodiscard]] bool CheckRider(PyObject* object);

/// Whether something may ride on what `connection` sends next, if there is an id. An error is taken for a no.
[[nodiscard]] bool MayRide(const Rider* rider, PyObject* connection) noexcept;

/// The statement up to where the id begins. REQUIRES: MayRide.
[[nodiscard]] std::string_view FrontOf(const Rider* rider) noexcept;

}  // namespace reqtrail
