#pragma once

#include <Python.h>

#include <utility>

namespace reqtrail {

/// An owned reference to a Python object, or none. REQUIRES: the GIL wherever one is made, moved or dropped.
class Owned {
 public:
  /// Takes over `object`, which may be nullptr.
  explicit Owned(PyObject* object = nullptr) noexcept : object_(object) {}
  Owned(Owned&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object_); }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard]] PyObject* get() const noexcept { return object_; }

 private:
  PyObject* object_;
};

}  // namespace reqtrail
