#pragma once

#include <Python.h>

namespace reqtrail {

/// The class whose methods were found to be as they should be. CPython takes the version of a class away when the class
/// or one of its bases changes, and does not give the same one twice (3.10 begins anew after sys._clear_type_cache(),
/// which is for debugging): as long as it is the same, and that of the metaclass too, so are the methods. Whoever keeps
/// a class has seen that they are no descriptors that answer anew each time.
/// Source: CPython's Include/cpython/object.h and Objects/typeobject.c, 3.10 to 3.14. REQUIRES: the GIL for every call.
class SeenType {
 public:
  [[nodiscard]] bool Is(const PyTypeObject* type) const noexcept {
    return type == type_ && version_ != 0 && type->tp_version_tag == version_ &&
           MetaclassOf(type)->tp_version_tag == metaclass_version_;
  }

  /// A class without a version, or with a metaclass that may answer as it likes, is not kept.
  void Keep(const PyTypeObject* type) noexcept {
    const PyTypeObject* metaclass = MetaclassOf(type);
    const bool is_kept = metaclass->tp_getattro == PyType_Type.tp_getattro && metaclass->tp_version_tag != 0;
    type_ = type;
    version_ = is_kept ? type->tp_version_tag : 0;
    metaclass_version_ = metaclass->tp_version_tag;
  }

 private:
  static const PyTypeObject* MetaclassOf(const PyTypeObject* type) noexcept { return type->ob_base.ob_base.ob_type; }

  const PyTypeObject* type_ = nullptr;  // only compared: it may be dead
  unsigned int version_ = 0;
  unsigned int metaclass_version_ = 0;
};

}  // namespace reqtrail
