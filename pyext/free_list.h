#pragma once

#include <Python.h>

#include <array>
#include <cstddef>

namespace reqtrail {

/// Keeps the memory of a few dead objects of one GC type for the next ones: a request makes two such objects, and an
/// allocation with GC header costs more than the rest of their making. REQUIRES: the GIL for every call.
template <typename Object, std::size_t kCapacity = 64>
class FreeList {
 public:
  /// An object of `type` with a reference count of 1 and stale fields that the caller sets before PyObject_GC_Track.
  /// nullptr with MemoryError set.
  [[nodiscard]] Object* Take(PyTypeObject* type) noexcept {
    if (size_ == 0) return PyObject_GC_New(Object, type);
    Object* object = objects_[--size_];
    PyObject_Init(reinterpret_cast<PyObject*>(object), type);
    return object;
  }

  /// Takes the memory of `object` back. REQUIRES: its reference count is 0, it is untracked and its fields are
  /// released.
  void Give(Object* object) noexcept {
    PyTypeObject* type = Py_TYPE(object);
    // One that the collector has finalized keeps that mark, and would not be finalized in its next life.
    if (size_ < kCapacity && PyObject_GC_IsFinalized(reinterpret_cast<PyObject*>(object)) == 0) {
      objects_[size_++] = object;
    } else {
      PyObject_GC_Del(object);
    }
    Py_DECREF(type);
  }

 private:
  std::array<Object*, kCapacity> objects_{};
  std::size_t size_ = 0;
};

}  // namespace reqtrail
