#pragma once

#include <Python.h>

namespace reqtrail {

/// The class whose methods were found to be as they should be. CPython takes the version of a class away when the class
/// or one of its bases changes, and does not give the same one twice (3.10 begins anew after sys._clear_type_cache(),
/// which is for debugging): as long as it is the same, so are the methods.
/// Source: CPython's Include/cpython/object.h and Objects/typeobject.c, 3.10 to 3.14. REQUIRES: the GIL for every call.
class SeenType {
 public:
  [[nodiscard]] bool Is(const PyTypeObject* type) const noexcept {
    return type == type_ && version_ != 0 && type->tp_version_tag == version_;
  }

  /// A class without a version, or with a metaclass that may answer as it likes, is not kept.
  void Keep(PyTypeObject* type) noexcept {
    type_ = type;
    version_ = Py_IS_TYPE(reinterpret_cast<PyObject*>(type), &PyType_Type) ? type->tp_version_tag : 0;
  }

 private:
  const PyTypeObject* type_ = nullptr;  // only compared: it may be dead
  unsigned int version_ = 0;
};

}  // namespace reqtrail
