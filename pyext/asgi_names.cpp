#include "pyext/asgi_names.h"

#include "worker_hooks/interned_names.h"

namespace reqtrail {
namespace {

AsgiNames names{};

}  // namespace

bool InitAsgiNames() {
  if (names.type != nullptr) return true;
  const InternedName table[] = {
      {&names.http, "http"},
      {&names.websocket, "websocket"},
      {&names.headers, "headers"},
      {&names.state, "state"},
      {&names.request_id, "request_id"},
      {&names.trace_id, "trace_id"},
      {&names.logger, "logger"},
      {&names.extra, "extra"},
      {&names.status, "status"},
      {&names.more_body, "more_body"},
      {&names.method, "method"},
      {&names.path, "path"},
      {&names.root_path, "root_path"},
      {&names.route, "route"},
      {&names.endpoint, "endpoint"},
      {&names.fastapi, "fastapi"},
      {&names.effective_route_context, "effective_route_context"},
      {&names.http_response_start, "http.response.start"},
      {&names.http_response_body, "http.response.body"},
      {&names.http_response_pathsend, "http.response.pathsend"},
      {&names.websocket_accept, "websocket.accept"},
      {&names.websocket_http_response_start, "websocket.http.response.start"},
      {&names.send, "send"},
      {&names.throw_, "throw"},
      {&names.close, "close"},
      {&names.type, "type"},
  };
  return InternNames(table);
}

const AsgiNames& Names() noexcept { return names; }

bool IsNameAndKeep(PyObject* text, PyObject* AsgiNames::* name) noexcept {
  if (!IsName(text, names.*name)) return false;
  Py_SETREF(names.*name, Py_NewRef(text));
  return true;
}

PyObject* TypeItem(PyObject* dict) noexcept {
  if (!PyDict_Check(dict)) return nullptr;
  Py_ssize_t position = 0;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  // Whoever makes one writes "type" first; to look there costs a tenth of a look-up.
  if (PyDict_Next(dict, &position, &key, &value) != 0 && key == names.type) return value;
  return DictItem(dict, names.type);
}

}  // namespace reqtrail
