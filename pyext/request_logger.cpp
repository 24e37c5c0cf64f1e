#include "pyext/request_logger.h"

#include <structmember.h>

#include <array>
#include <cstddef>
#include <new>
#include <vector>

#include "pyext/asgi_names.h"
#include "pyext/free_list.h"

namespace reqtrail {
namespace {

// Without GC: an id refers to nothing, and a logger lives as long as the process.
struct RequestLogger {
  PyObject_HEAD PyObject* logger;
  PyObject* id;
  PyObject* traceparent;  // or nullptr
};

PyTypeObject* request_logger_type = nullptr;
FreeList<RequestLogger, PlainMemory> free_loggers;

constexpr std::array<const char*, 7> kMethods = {"debug", "info", "warning", "error", "exception", "critical", "log"};
std::array<PyObject*, kMethods.size()> method_names{};

RequestLogger* AsRequestLogger(PyObject* object) noexcept { return reinterpret_cast<RequestLogger*>(object); }

bool PutTraceId(PyObject* extra, PyObject* traceparent) {
  if (traceparent == nullptr) return true;
  constexpr Py_ssize_t kBegin = 3;  // after the version
  constexpr Py_ssize_t kEnd = 35;
  PyObject* trace_id = PyUnicode_Substring(traceparent, kBegin, kEnd);
  const bool put = trace_id != nullptr && PyDict_SetItem(extra, Names().trace_id, trace_id) == 0;
  Py_XDECREF(trace_id);
  return put;
}

// The caller's extra with the ids in it, unless it has some of its own; a new reference, or nullptr with an error.
PyObject* ExtraWithIds(PyObject* given, const RequestLogger* self) {
  PyObject* extra = PyDict_New();
  const bool made = extra != nullptr && PyDict_SetItem(extra, Names().request_id, self->id) == 0 &&
                    PutTraceId(extra, self->traceparent) &&
                    (given == nullptr || given == Py_None || PyDict_Update(extra, given) == 0);
  if (!made) Py_CLEAR(extra);
  return extra;
}

// The keywords of a call with "extra" among them, and where its value stands; a new tuple, or nullptr with an error.
PyObject* KeywordsWithExtra(PyObject* kwnames, Py_ssize_t* place) {
  const Py_ssize_t count = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  for (*place = 0; *place < count; ++*place) {
    if (PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, *place), Names().extra) == 0) return Py_NewRef(kwnames);
  }
  PyObject* extended = PyTuple_New(count + 1);
  if (extended == nullptr) return nullptr;
  for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SET_ITEM(extended, i, Py_NewRef(PyTuple_GET_ITEM(kwnames, i)));
  PyTuple_SET_ITEM(extended, count, Py_NewRef(Names().extra));
  return extended;
}

// Calls the logger's method from C, without a frame of ours: the record says where the application logged.
template <std::size_t kMethod>
PyObject* LogThrough(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* kwnames) {
  RequestLogger* self = AsRequestLogger(object);
  Py_ssize_t place = 0;
  PyObject* keywords = KeywordsWithExtra(kwnames, &place);
  if (keywords == nullptr) return nullptr;
  PyObject* result = nullptr;
  try {
    const std::size_t given = kwnames == nullptr ? 0 : static_cast<std::size_t>(PyTuple_GET_SIZE(kwnames));
    std::vector<PyObject*> stack(args, args + static_cast<std::size_t>(count) + given);
    const auto at = static_cast<std::size_t>(count + place);
    PyObject* extra = ExtraWithIds(at < stack.size() ? stack[at] : nullptr, self);
    PyObject* method = extra == nullptr ? nullptr : PyObject_GetAttr(self->logger, method_names[kMethod]);
    if (method != nullptr) {
      stack.resize(static_cast<std::size_t>(count + PyTuple_GET_SIZE(keywords)));
      stack[at] = extra;
      result = PyObject_Vectorcall(method, stack.data(), static_cast<std::size_t>(count), keywords);
    }
    Py_XDECREF(method);
    Py_XDECREF(extra);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  Py_DECREF(keywords);
  return result;
}

template <std::size_t kMethod>
PyMethodDef Method(const char* doc) noexcept {
  return {kMethods[kMethod], reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&LogThrough<kMethod>)),
          METH_FASTCALL | METH_KEYWORDS, doc};
}

// What is not here is the logger's: isEnabledFor, name, handlers ...
PyObject* GetAttribute(PyObject* object, PyObject* name) {
  PyObject* value = PyObject_GenericGetAttr(object, name);
  if (value != nullptr || !PyErr_ExceptionMatches(PyExc_AttributeError)) return value;
  PyErr_Clear();
  return PyObject_GetAttr(AsRequestLogger(object)->logger, name);
}

void Dealloc(PyObject* object) {
  RequestLogger* self = AsRequestLogger(object);
  Py_CLEAR(self->logger);
  Py_CLEAR(self->id);
  Py_CLEAR(self->traceparent);
  free_loggers.Give(self);
}

}  // namespace

PyObject* MakeRequestLogger(PyObject* logger, PyObject* id, PyObject* traceparent) {
  RequestLogger* self = free_loggers.Take(request_logger_type);
  if (self == nullptr) return nullptr;
  self->logger = Py_NewRef(logger);
  self->id = Py_NewRef(id);
  self->traceparent = Py_XNewRef(traceparent);
  return reinterpret_cast<PyObject*>(self);
}

bool InitRequestLoggerType() {
  if (request_logger_type != nullptr) return true;
  for (std::size_t i = 0; i < kMethods.size(); ++i) {
    method_names[i] = PyUnicode_InternFromString(kMethods[i]);
    if (method_names[i] == nullptr) return false;
  }
  static PyMethodDef methods[] = {
      Method<0>("As of the logger."), Method<1>("As of the logger."), Method<2>("As of the logger."),
      Method<3>("As of the logger."), Method<4>("As of the logger."), Method<5>("As of the logger."),
      Method<6>("As of the logger."), {nullptr, nullptr, 0, nullptr},
  };
  static PyMemberDef members[] = {
      {"logger", T_OBJECT, offsetof(RequestLogger, logger), READONLY, "The logger."},
      {"request_id", T_OBJECT, offsetof(RequestLogger, id), READONLY, "The id that its records get."},
      {nullptr, 0, 0, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_tp_methods, methods},
      {Py_tp_members, members},
      {Py_tp_getattro, reinterpret_cast<void*>(GetAttribute)},
      {Py_tp_dealloc, reinterpret_cast<void*>(Dealloc)},
      {0, nullptr},
  };
  static PyType_Spec spec = {"reqtrail._native.RequestLogger", sizeof(RequestLogger), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  request_logger_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return request_logger_type != nullptr;
}

}  // namespace reqtrail
