#pragma once

#include <Python.h>

#include <array>
#include <cstddef>

#include "pyext/seen_type.h"

namespace reqtrail {

/// A method in place of one of a driver's class, or of a pool's: to the interpreter as quick to call as a function, and
/// a binding descriptor like one. It keeps the class' own method by name and looks it up again when the class has
/// changed, because other instruments replace the methods of such a class at any time.
struct DriverMethod {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* attributes;          ///< __dict__, for what functools.update_wrapper sets
  PyObject* base;                ///< the class that has the method in whose place it is
  PyObject* name;                ///< of the method, interned
  PyObject* rider;               ///< a Rider; nullptr where nothing rides
  std::array<PyObject*, 4> own;  ///< what this kind of method needs; the rest nullptr
  PyObject* found;               ///< the class' own method, as long as `seen` is the class
  SeenType seen;
};

inline DriverMethod* MethodOf(PyObject* object) noexcept { return reinterpret_cast<DriverMethod*>(object); }

/// Makes the type. False with a Python error set.
[[nodiscard]] bool InitDriverMethod();

/// A new method of `base` that is called as `vectorcall` says. `rider` may be nullptr. TypeError when
/// it is no Rider.
[[nodiscard]] PyObject* MakeDriverMethod(vectorcallfunc vectorcall, PyObject* base, const char* name, PyObject* rider,
                                         std::array<PyObject*, 4> own);

/// Calls the class' own method. The arguments begin with the object that it is a method of.
[[nodiscard]] PyObject* CallOwn(DriverMethod* method, PyObject* const* args, std::size_t nargsf, PyObject* kwnames);

}  // namespace reqtrail
