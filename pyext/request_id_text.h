#pragma once

#include <Python.h>

#include <initializer_list>
#include <string_view>

namespace reqtrail {

/// The current request id, looked up and checked again by the rule of core/request_id.h: the context variable is
/// anybody's. The only way by which an id becomes part of SQL. REQUIRES: the GIL wherever one is made or dropped, and
/// InitRequestContext before.
class CheckedRequestId {
 public:
  CheckedRequestId() noexcept;
  CheckedRequestId(const CheckedRequestId&) = delete;
  CheckedRequestId& operator=(const CheckedRequestId&) = delete;
  ~CheckedRequestId() { Py_XDECREF(id_); }

  /// Whether there is one that is one.
  explicit operator bool() const noexcept { return id_ != nullptr; }
  /// Its characters, which are ASCII; they live as long as this.
  [[nodiscard]] std::string_view text() const noexcept;

 private:
  PyObject* id_;
};

/// A new str of `parts`, one behind the other. REQUIRES: they are ASCII. nullptr with MemoryError set.
[[nodiscard]] PyObject* AsciiText(std::initializer_list<std::string_view> parts);

/// The same as bytes, of parts that may be anything.
[[nodiscard]] PyObject* BytesText(std::initializer_list<std::string_view> parts);

/// Adds `request_id_between(front, back)` to `module`: the str front + current request id + back, or None when there is
/// no current id or it is none by the rule. TypeError unless both are str of ASCII. False with a Python error set.
/// REQUIRES: the GIL.
[[nodiscard]] bool AddRequestIdText(PyObject* module);

}  // namespace reqtrail
