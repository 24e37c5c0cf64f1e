#pragma once

#include <Python.h>

#include <string_view>

namespace reqtrail {

/// The content of a bytes object, which owns it.
[[nodiscard]] inline std::string_view BytesView(PyObject* bytes) noexcept {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

/// The two items of a header pair, borrowed; false for what is no pair.
[[nodiscard]] bool SplitPair(PyObject* pair, PyObject** name, PyObject** value) noexcept;

/// The tuple (name, value) of two bytes objects: a new reference, or nullptr with MemoryError.
[[nodiscard]] PyObject* HeaderPair(PyObject* name, PyObject* value);

/// A new list of headers: those of `headers` (an iterable of pairs of bytes; nullptr: none) without those of the same
/// name as `header`, a tuple of lower-case name and value in bytes, and then `header`. `headers` stays as it is.
/// nullptr with an error.
[[nodiscard]] PyObject* HeadersWith(PyObject* headers, PyObject* header);

/// The same where `headers`, a list or tuple, is known to have none of that name.
[[nodiscard]] PyObject* HeadersAnd(PyObject* headers, PyObject* header);

/// Gives the request of `scope` (a dict) `header` in place of any of that name. `other_headers` is its headers, if they
/// are known to have none; else nullptr. A scope without headers stays as it is. False with an error.
[[nodiscard]] bool SetRequestHeader(PyObject* scope, PyObject* header, PyObject* other_headers);

/// Whose a message is that gets a header.
enum class MessageOwner : unsigned char {
  kApplication,  ///< which may look at it again
  kNobody,       ///< it is a temporary of the call of send() (stack_temporary.h)
};

/// `message` (a dict) with `header` among its "headers" (HeadersWith). With `exposed` (the header's name as bytes, or
/// nullptr) they also tell a browser that scripts of other origins may read the header, unless they do so already. A
/// message that is nobody's is changed itself; else it is a copy. A list that the application may look at again stays
/// as it is. A new reference, or nullptr with an error.
[[nodiscard]] PyObject* WithRequestIdHeader(PyObject* message, MessageOwner owner, PyObject* header, PyObject* exposed);

}  // namespace reqtrail
