#pragma once

#include <Python.h>

namespace reqtrail {

/// Takes the current Python error away and puts exactly the same one back, so that code between the two may call
/// Python. Without an error both do nothing. REQUIRES: the GIL; Restore() at most once.
class HeldError {
 public:
#if PY_VERSION_HEX >= 0x030C0000
  HeldError() noexcept : value_(PyErr_GetRaisedException()) {}
  ~HeldError() { Py_XDECREF(value_); }
  void Restore() noexcept {
    PyErr_SetRaisedException(value_);
    value_ = nullptr;
  }
  /// The exception, borrowed; nullptr without one.
  [[nodiscard]] PyObject* exception() noexcept { return value_; }
#else
  HeldError() noexcept { PyErr_Fetch(&type_, &value_, &traceback_); }
  ~HeldError() {
    Py_XDECREF(type_);
    Py_XDECREF(value_);
    Py_XDECREF(traceback_);
  }
  void Restore() noexcept {
    PyErr_Restore(type_, value_, traceback_);
    type_ = value_ = traceback_ = nullptr;
  }
  /// The exception with its traceback, borrowed; nullptr without one.
  [[nodiscard]] PyObject* exception() noexcept {
    if (type_ == nullptr) return nullptr;
    PyErr_NormalizeException(&type_, &value_, &traceback_);
    if (traceback_ != nullptr && PyException_SetTraceback(value_, traceback_) < 0) PyErr_Clear();
    return value_;
  }
#endif
  HeldError(const HeldError&) = delete;
  HeldError& operator=(const HeldError&) = delete;

 private:
#if PY_VERSION_HEX < 0x030C0000
  PyObject* type_ = nullptr;
  PyObject* traceback_ = nullptr;
#endif
  PyObject* value_ = nullptr;
};

}  // namespace reqtrail
