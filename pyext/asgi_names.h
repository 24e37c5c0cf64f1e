#pragma once

#include <Python.h>

#include "pyext/ascii_text.h"

namespace reqtrail {

/// The strings of the ASGI protocol that the middleware looks for, in ASCII. They are interned, but that of
/// a message's type may be the application's own literal.
struct AsgiNames {
  PyObject* type;
  PyObject* http;
  PyObject* websocket;
  PyObject* headers;
  PyObject* state;
  PyObject* request_id;
  PyObject* trace_id;
  PyObject* logger;
  PyObject* extra;
  PyObject* status;
  PyObject* more_body;
  PyObject* method;
  PyObject* path;
  PyObject* root_path;
  PyObject* route;
  PyObject* endpoint;
  PyObject* fastapi;
  PyObject* effective_route_context;
  // The types of messages, which IsMessageType replaces.
  PyObject* http_response_start;
  PyObject* http_response_body;
  PyObject* http_response_pathsend;
  PyObject* websocket_accept;
  PyObject* websocket_http_response_start;
  // The methods of a coroutine.
  PyObject* send;
  PyObject* throw_;
  PyObject* close;
};

/// Called once, by the module's initialiser. False with a Python error set when there is no memory.
[[nodiscard]] bool InitAsgiNames();

/// Borrowed strings that live as long as the process, but for the types of messages. REQUIRES: InitAsgiNames before.
[[nodiscard]] const AsgiNames& Names() noexcept;

/// Whether `text` is the string `name`, which is one of Names(). False for anything that is not a str. Sets no error.
[[nodiscard]] inline bool IsName(PyObject* text, PyObject* name) noexcept {
  if (text == name) return true;
  if (text == nullptr || !PyUnicode_Check(text) || !PyUnicode_IS_COMPACT_ASCII(text)) return false;
  return AsciiView(text) == AsciiView(name);
}

/// As IsName. Makes `text`, where it is that string, the object for it in Names(). REQUIRES: the GIL.
[[nodiscard]] bool IsNameAndKeep(PyObject* text, PyObject* AsgiNames::* name) noexcept;

/// As IsName for the type of a message. Applications write it as a literal of their own, since CPython interns only
/// what could be an identifier: the last one is kept, and known by its address the next time. REQUIRES: the GIL.
[[nodiscard]] inline bool IsMessageType(PyObject* text, PyObject* AsgiNames::* name) noexcept {
  return text == Names().*name || IsNameAndKeep(text, name);
}

/// The value of `key` in `dict`, borrowed; nullptr where there is none, or no dict. Sets no error: an application's own
/// key whose __eq__ raises is passed over.
[[nodiscard]] inline PyObject* DictItem(PyObject* dict, PyObject* key) noexcept {
  if (dict == nullptr || !PyDict_Check(dict)) return nullptr;
  PyObject* item = PyDict_GetItemWithError(dict, key);
  if (item == nullptr && PyErr_Occurred() != nullptr) PyErr_Clear();
  return item;
}

/// The "type" of a scope or a message; as DictItem.
[[nodiscard]] PyObject* TypeItem(PyObject* dict) noexcept;

}  // namespace reqtrail
