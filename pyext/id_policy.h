#pragma once

#include <Python.h>

namespace reqtrail {

/// How a middleware comes by the id of a request. Owned references; immutable once made.
struct IdPolicy {
  PyObject* header_name;     ///< bytes, lower case: as it is looked for, and sent
  PyObject* generator;       ///< callable () -> str, or nullptr: random UUIDs
  PyObject* validator;       ///< callable (id: str) -> bool, or nullptr: whatever core takes for an id
  PyObject* transformer;     ///< callable (id: str) -> str, or nullptr
  PyObject* trust_incoming;  ///< True, False, or a callable (scope) -> bool
};

/// The id of a request as both sides need it. Owned references; nullptr before TakeRequestId.
struct TakenId {
  PyObject* text = nullptr;           ///< str
  PyObject* bytes = nullptr;          ///< the same as bytes, for headers
  PyObject* traceparent = nullptr;    ///< str, when the request has one that is trusted
  PyObject* other_headers = nullptr;  ///< list or tuple: the request's headers, when known to be without the id's
  bool given = false;                 ///< the request has this very id in its header
  bool rejected = false;              ///< the request had an id that was refused: not valid, or more than one

  /// Releases everything.
  void Clear() noexcept {
    Py_CLEAR(text);
    Py_CLEAR(bytes);
    Py_CLEAR(traceparent);
    Py_CLEAR(other_headers);
  }
};

/// The id of the request with this `scope`: that of its header if it is there once, is trusted and core and the
/// validator say that it is an id; else the trace id of its traceparent under the same conditions; else a new one, from
/// the generator if what that gives is an id. Then what the transformer makes of it, if that is an id. Faults of these
/// callables are reported, not raised. False with a Python error set only when there is no memory.
[[nodiscard]] bool TakeRequestId(const IdPolicy& policy, PyObject* scope, TakenId* taken);

}  // namespace reqtrail
