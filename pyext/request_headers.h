#pragma once

#include <Python.h>

namespace reqtrail {

/// The id of a request as both sides need it. Owned references; both nullptr before TakeRequestId.
struct TakenId {
  PyObject* text = nullptr;   ///< str
  PyObject* bytes = nullptr;  ///< the same as bytes, for the response header
  bool rejected = false;      ///< the request had an id that was refused: not valid, or more than one
};

/// The id of a request with these headers (an iterable of pairs of bytes; nullptr: none): the value of header
/// `header_name` (lower-case bytes) if there is exactly one and core says that it is an id, else a new one, from
/// `generator` (nullptr: core's UUIDs) if that gives an id. A fault of the generator is reported, not raised. False
/// with a Python error set only when there is no memory.
[[nodiscard]] bool TakeRequestId(PyObject* headers, PyObject* header_name, PyObject* generator, TakenId* taken);

/// A copy of `message` (a dict) whose "headers" are a new list: the application's, without those called `header_name`,
/// and then (header_name, id). The application's message and list stay as they are. A new reference, or nullptr with an
/// error.
[[nodiscard]] PyObject* WithRequestIdHeader(PyObject* message, PyObject* header_name, PyObject* id);

}  // namespace reqtrail
