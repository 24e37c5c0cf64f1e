#include "pyext/begin_rider.h"

#include <structmember.h>

#include <array>
#include <cstddef>

#include "pyext/ascii_text.h"

namespace reqtrail {
namespace {

PyTypeObject* rider_type = nullptr;

PyObject* New(PyTypeObject* type, PyObject* /*args*/, PyObject* /*kwargs*/) {
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  RiderOf(object)->set_local = Py_NewRef(Py_None);
  RiderOf(object)->quiet = PySet_New(nullptr);
  if (RiderOf(object)->quiet == nullptr) Py_CLEAR(object);
  return object;
}

bool HasFront(const Rider* rider) noexcept {
  return rider->set_local != nullptr && PyUnicode_Check(rider->set_local) && PyUnicode_IS_ASCII(rider->set_local);
}

PyObject* Statement(PyObject* self, PyObject* /*unused*/) {
  const Rider* rider = RiderOf(self);
  if (rider->is_on == 0) Py_RETURN_NONE;
  const CheckedRequestId id;
  if (!id || !HasFront(rider)) Py_RETURN_NONE;
  return AsciiText({AsciiView(rider->set_local), id.text(), "'"});
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(RiderOf(object)->quiet);
  return 0;
}

int Clear(PyObject* object) {
  Py_CLEAR(RiderOf(object)->quiet);
  return 0;
}

void Deallocate(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PyTypeObject* type = Py_TYPE(object);
  Py_CLEAR(RiderOf(object)->quiet);
  Py_CLEAR(RiderOf(object)->set_local);
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace

bool AddRider(PyObject* module) {
  static std::array<PyMemberDef, 4> members = {
      {{.name = "on", .type = T_BOOL, .offset = offsetof(Rider, is_on), .flags = 0, .doc = nullptr},
       {.name = "set_local", .type = T_OBJECT, .offset = offsetof(Rider, set_local), .flags = 0, .doc = nullptr},
       {.name = "quiet", .type = T_OBJECT, .offset = offsetof(Rider, quiet), .flags = READONLY, .doc = nullptr},
       {}}};
  static std::array<PyMethodDef, 2> methods = {
      {{.ml_name = "statement", .ml_meth = &Statement, .ml_flags = METH_NOARGS, .ml_doc = nullptr}, {}}};
  static std::array<PyType_Slot, 7> slots = {{{.slot = Py_tp_new, .pfunc = reinterpret_cast<void*>(&New)},
                                              {.slot = Py_tp_members, .pfunc = members.data()},
                                              {.slot = Py_tp_methods, .pfunc = methods.data()},
                                              {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&Traverse)},
                                              {.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&Clear)},
                                              {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&Deallocate)},
                                              {}}};
  static PyType_Spec spec = {"reqtrail._native.Rider", sizeof(Rider), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, slots.data()};
  rider_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return rider_type != nullptr && PyModule_AddObjectRef(module, "Rider", reinterpret_cast<PyObject*>(rider_type)) == 0;
}

bool CheckRider(PyObject* object) {
  if (PyObject_TypeCheck(object, rider_type) != 0) return true;
  PyErr_Format(PyExc_TypeError, "expected a Rider, not %.100s", Py_TYPE(object)->tp_name);
  return false;
}

[[gnu::hot]] Owned FrontFor(const Rider* rider, PyObject* connection) noexcept {
  if (rider->is_on == 0) return Owned();
  if (rider->quiet != nullptr && PySet_GET_SIZE(rider->quiet) > 0) {
    const Owned reference(PyWeakref_NewRef(connection, nullptr));
    const int is_quiet = reference ? PySet_Contains(rider->quiet, reference.get()) : -1;
    if (is_quiet < 0) PyErr_Clear();
    if (is_quiet != 0) return Owned();
  }
  return Owned(HasFront(rider) ? Py_NewRef(rider->set_local) : nullptr);
}

}  // namespace reqtrail
