#include "worker_hooks/direct_send.h"

#include <structmember.h>

#include <array>
#include <cstddef>

#include "worker_hooks/owned.h"
#include "worker_hooks/task_names.h"

namespace reqtrail {
namespace {

struct DirectSend {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* signal;
  PyObject* receiver;
  PyObject* celerys;  // the bound method Signal.send
};

DirectSend* Self(PyObject* object) noexcept { return reinterpret_cast<DirectSend*>(object); }

// Signal.receivers is a list of (key, receiver or a weak reference to it).
bool IsOnlyReceiver(const DirectSend* self) noexcept {
  const Owned receivers(PyObject_GetAttr(self->signal, TaskName().receivers));
  if (!receivers) PyErr_Clear();
  if (!receivers || !PyList_CheckExact(receivers.get()) || PyList_GET_SIZE(receivers.get()) != 1) return false;
  PyObject* entry = PyList_GET_ITEM(receivers.get(), 0);
  return PyTuple_Check(entry) && PyTuple_GET_SIZE(entry) == 2 && PyTuple_GET_ITEM(entry, 1) == self->receiver;
}

// What Signal.send returns: [(receiver, response)].
PyObject* Responses(PyObject* receiver, PyObject* response) {
  const Owned pair(PyTuple_Pack(2, receiver, response));  // Py_BuildValue takes four times as long
  PyObject* responses = pair ? PyList_New(1) : nullptr;
  if (responses != nullptr) PyList_SET_ITEM(responses, 0, Py_NewRef(pair.get()));
  return responses;
}

PyObject* Send(PyObject* object, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  const DirectSend* self = Self(object);
  if (!IsOnlyReceiver(self)) return PyObject_Vectorcall(self->celerys, args, nargsf, kwnames);
  const Owned response(PyObject_Vectorcall(self->receiver, args, nargsf, kwnames));
  return response ? Responses(self->receiver, response.get()) : nullptr;
}

PyObject* New(PyTypeObject* type, PyObject* args, PyObject* /*kwargs*/) {
  PyObject* signal = nullptr;
  PyObject* receiver = nullptr;
  if (PyArg_ParseTuple(args, "OO:DirectSend", &signal, &receiver) == 0) return nullptr;
  const Owned celerys(PyObject_GetAttr(signal, TaskName().send));
  PyObject* object = celerys ? type->tp_alloc(type, 0) : nullptr;
  if (object == nullptr) return nullptr;
  Self(object)->vectorcall = &Send;
  Self(object)->signal = Py_NewRef(signal);
  Self(object)->receiver = Py_NewRef(receiver);
  Self(object)->celerys = Py_NewRef(celerys.get());
  return object;
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(Self(object)->signal);
  Py_VISIT(Self(object)->receiver);
  Py_VISIT(Self(object)->celerys);
  return 0;
}

// Without tp_clear: the signal, which has it as an attribute, breaks the cycle.
void Deallocate(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PyTypeObject* type = Py_TYPE(object);
  Py_XDECREF(Self(object)->signal);
  Py_XDECREF(Self(object)->receiver);
  Py_XDECREF(Self(object)->celerys);
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace

bool AddDirectSend(PyObject* module) {
  static std::array<PyMemberDef, 2> members = {{{.name = "__vectorcalloffset__",
                                                 .type = T_PYSSIZET,
                                                 .offset = offsetof(DirectSend, vectorcall),
                                                 .flags = READONLY,
                                                 .doc = nullptr},
                                                {}}};
  static std::array<PyType_Slot, 6> slots = {
      {{.slot = Py_tp_new, .pfunc = reinterpret_cast<void*>(&New)},
       {.slot = Py_tp_call, .pfunc = reinterpret_cast<void*>(&PyVectorcall_Call)},
       {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&Traverse)},
       {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&Deallocate)},
       {.slot = Py_tp_members, .pfunc = members.data()},
       {}}};
  static PyType_Spec spec = {"reqtrail._native.DirectSend", sizeof(DirectSend), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots.data()};
  const Owned type(PyType_FromSpec(&spec));
  return type && PyModule_AddObjectRef(module, "DirectSend", type.get()) == 0;
}

}  // namespace reqtrail
