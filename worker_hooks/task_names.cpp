#include "worker_hooks/task_names.h"

#include <cstddef>

#include "worker_hooks/interned_names.h"

namespace reqtrail {
namespace {

TaskNames names{};

}  // namespace

bool InitTaskNames() {
  const InternedName table[] = {
      {&names.app, "app"},
      {&names.delivery_info, "delivery_info"},
      {&names.dict, "__dict__"},
      {&names.eta, "eta"},
      {&names.headers, "headers"},
      {&names.id, "id"},
      {&names.is_eager, "is_eager"},
      {&names.name, "name"},
      {&names.published_at, "reqtrail_published_at"},
      {&names.receivers, "receivers"},
      {&names.redelivered, "redelivered"},
      {&names.request, "request"},
      {&names.request_id, "request_id"},
      {&names.result, "retval"},
      {&names.root_id, "root_id"},
      {&names.routing_key, "routing_key"},
      {&names.send, "send"},
      {&names.sender, "sender"},
      {&names.state, "state"},
      {&names.task, "task"},
      {&names.task_id, "task_id"},
      {&names.traceparent, "traceparent"},
  };
  return InternNames(table);
}

const TaskNames& TaskName() noexcept { return names; }

PyObject* ItemOf(PyObject* dict, PyObject* key) noexcept {
  if (dict == nullptr || !PyDict_Check(dict)) return nullptr;
  PyObject* item = PyDict_GetItemWithError(dict, key);
  if (item == nullptr && PyErr_Occurred()) PyErr_Clear();  // a key of the application whose __eq__ raises
  return item == Py_None ? nullptr : item;
}

std::string_view TextOf(PyObject* text) noexcept {
  Py_ssize_t size = 0;
  const char* utf8 = text == nullptr || !PyUnicode_Check(text) ? nullptr : PyUnicode_AsUTF8AndSize(text, &size);
  if (utf8 == nullptr) {
    PyErr_Clear();
    return {};
  }
  return {utf8, static_cast<std::size_t>(size)};
}

}  // namespace reqtrail
