#pragma once

#include <Python.h>

#include <array>
#include <cstddef>

namespace reqtrail {

/// Where the objects of a type with GC come from and go to.
struct GcMemory {
  template <typename Object>
  static Object* New(PyTypeObject* type) noexcept {
    return PyObject_GC_New(Object, type);
  }
  static void Delete(void* object) noexcept { PyObject_GC_Del(object); }
  // One that the collector has finalized keeps that mark, and would not be finalized in its next life.
  static bool IsReusable(PyObject* object) noexcept {
    return Py_TYPE(object)->tp_finalize == nullptr || PyObject_GC_IsFinalized(object) == 0;
  }
};

/// The same of a type without.
struct PlainMemory {
  template <typename Object>
  static Object* New(PyTypeObject* type) noexcept {
    return PyObject_New(Object, type);
  }
  static void Delete(void* object) noexcept { PyObject_Free(object); }
  static bool IsReusable(PyObject*) noexcept { return true; }
};

/// Keeps the memory of a few dead objects of one type for the next ones: a request makes a handful of such objects, and
/// their allocation costs more than the rest of their making. They keep their type, and the reference to it.
/// REQUIRES: the GIL for every call, and one `type` for all.
template <typename Object, typename Memory = GcMemory, std::size_t kCapacity = 64>
class FreeList {
 public:
  /// An object of `type` with a reference count of 1 and stale fields that the caller sets before PyObject_GC_Track.
  /// nullptr with MemoryError set.
  [[nodiscard]] Object* Take(PyTypeObject* type) noexcept {
    if (size_ == 0) return Memory::template New<Object>(type);
    Object* object = objects_[--size_];
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(object), 1);
    return object;
  }

  /// Takes the memory of `object` back. REQUIRES: its reference count is 0, it is untracked and its fields are
  /// released.
  void Give(Object* object) noexcept {
    if (size_ < kCapacity && Memory::IsReusable(reinterpret_cast<PyObject*>(object))) {
      objects_[size_++] = object;
      return;
    }
    PyTypeObject* type = Py_TYPE(object);
    Memory::Delete(object);
    Py_DECREF(type);
  }

 private:
  std::array<Object*, kCapacity> objects_{};
  std::size_t size_ = 0;
};

}  // namespace reqtrail
