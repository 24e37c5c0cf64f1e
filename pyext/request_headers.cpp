#include "pyext/request_headers.h"

#include "core/incoming_id.h"
#include "pyext/asgi_names.h"

namespace reqtrail {
namespace {

constexpr std::string_view kExposeHeaders = "access-control-expose-headers";

bool IsHeader(PyObject* name, std::string_view lower) noexcept {
  return PyBytes_Check(name) && IsHeaderNamed(BytesView(name), lower);
}

// Whether `pair` is a header of this name.
bool IsNamed(PyObject* pair, std::string_view lower) noexcept {
  PyObject* name = nullptr;
  PyObject* value = nullptr;
  return SplitPair(pair, &name, &value) && IsHeader(name, lower);
}

// False with an error.
bool Expose(PyObject* headers, PyObject* header_name, PyObject* exposed) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); ++i) {
    PyObject* name = nullptr;
    PyObject* value = nullptr;
    if (SplitPair(PyList_GET_ITEM(headers, i), &name, &value) && IsHeader(name, kExposeHeaders) &&
        PyBytes_Check(value) && ListsHeader(BytesView(value), BytesView(header_name))) {
      return true;
    }
  }
  PyObject* name = PyBytes_FromStringAndSize(kExposeHeaders.data(), static_cast<Py_ssize_t>(kExposeHeaders.size()));
  PyObject* pair = name == nullptr ? nullptr : HeaderPair(name, exposed);
  Py_XDECREF(name);
  const bool added = pair != nullptr && PyList_Append(headers, pair) == 0;
  Py_XDECREF(pair);
  return added;
}

// False with an error.
bool IsTold(PyObject* headers, PyObject* header, PyObject* exposed) {
  return exposed == nullptr || Expose(headers, PyTuple_GET_ITEM(header, 0), exposed);
}

// Whether `headers`, of a message that is nobody's, can take `header` at its end: it is a list that the message alone
// holds, and has none of this name.
bool IsFreeFor(PyObject* headers, PyObject* header) noexcept {
  if (headers == nullptr || !PyList_CheckExact(headers) || Py_REFCNT(headers) != 1) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); ++i) {
    if (IsNamed(PyList_GET_ITEM(headers, i), BytesView(PyTuple_GET_ITEM(header, 0)))) return false;
  }
  return true;
}

}  // namespace

bool SplitPair(PyObject* pair, PyObject** name, PyObject** value) noexcept {
  if (PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2) {
    *name = PyTuple_GET_ITEM(pair, 0);
    *value = PyTuple_GET_ITEM(pair, 1);
    return true;
  }
  if (PyList_Check(pair) && PyList_GET_SIZE(pair) == 2) {
    *name = PyList_GET_ITEM(pair, 0);
    *value = PyList_GET_ITEM(pair, 1);
    return true;
  }
  return false;
}

PyObject* HeaderPair(PyObject* name, PyObject* value) {
  PyObject* pair = PyTuple_New(2);
  if (pair == nullptr) return nullptr;
  PyTuple_SET_ITEM(pair, 0, Py_NewRef(name));
  PyTuple_SET_ITEM(pair, 1, Py_NewRef(value));
  return pair;
}

PyObject* HeadersWith(PyObject* headers, PyObject* header) {
  PyObject* given = headers == nullptr ? PyTuple_New(0) : PySequence_Fast(headers, "headers must be an iterable");
  if (given == nullptr) return nullptr;
  const std::string_view replaced = BytesView(PyTuple_GET_ITEM(header, 0));
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(given);
  PyObject** pairs = PySequence_Fast_ITEMS(given);
  PyObject* list = PyList_New(count + 1);
  Py_ssize_t kept = 0;
  for (Py_ssize_t i = 0; list != nullptr && i < count; ++i) {
    if (IsNamed(pairs[i], replaced)) continue;
    PyList_SET_ITEM(list, kept++, Py_NewRef(pairs[i]));
  }
  if (list != nullptr) {
    PyList_SET_ITEM(list, kept++, Py_NewRef(header));
    Py_SET_SIZE(list, kept);  // the slots behind it are still NULL
  }
  Py_DECREF(given);
  return list;
}

PyObject* HeadersAnd(PyObject* headers, PyObject* header) {
  PyObject* list = PyList_New(PySequence_Fast_GET_SIZE(headers) + 1);
  if (list == nullptr) return nullptr;
  PyObject** pairs = PySequence_Fast_ITEMS(headers);
  const Py_ssize_t count = PyList_GET_SIZE(list) - 1;
  for (Py_ssize_t i = 0; i < count; ++i) PyList_SET_ITEM(list, i, Py_NewRef(pairs[i]));
  PyList_SET_ITEM(list, count, Py_NewRef(header));
  return list;
}

bool SetRequestHeader(PyObject* scope, PyObject* header, PyObject* other_headers) {
  PyObject* updated = nullptr;
  if (other_headers != nullptr) {
    updated = HeadersAnd(other_headers, header);
  } else {
    PyObject* headers = DictItem(scope, Names().headers);
    if (headers == nullptr || !(PyList_Check(headers) || PyTuple_Check(headers))) return true;
    updated = HeadersWith(headers, header);
  }
  const bool set = updated != nullptr && PyDict_SetItem(scope, Names().headers, updated) == 0;
  Py_XDECREF(updated);
  return set;
}

PyObject* WithRequestIdHeader(PyObject* message, MessageOwner owner, PyObject* header, PyObject* exposed) {
  PyObject* headers = DictItem(message, Names().headers);
  const bool is_free = owner == MessageOwner::kNobody && PyDict_CheckExact(message);
  if (is_free && IsFreeFor(headers, header)) {
    const bool added = PyList_Append(headers, header) == 0 && IsTold(headers, header, exposed);
    return added ? Py_NewRef(message) : nullptr;
  }
  PyObject* list = HeadersWith(headers, header);
  if (list == nullptr) return nullptr;
  PyObject* changed = nullptr;
  if (IsTold(list, header, exposed)) changed = is_free ? Py_NewRef(message) : PyDict_Copy(message);
  if (changed != nullptr && PyDict_SetItem(changed, Names().headers, list) < 0) Py_CLEAR(changed);
  Py_DECREF(list);
  return changed;
}

}  // namespace reqtrail
