#include "pyext/driver_method.h"

#include <structmember.h>

#include "pyext/begin_rider.h"

namespace reqtrail {
namespace {

PyTypeObject* method_type = nullptr;

PyObject* Bound(PyObject* self, PyObject* object, PyObject* /*type*/) {
  return object == nullptr || object == Py_None ? Py_NewRef(self) : PyMethod_New(self, object);
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  DriverMethod* self = MethodOf(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->attributes);
  Py_VISIT(self->base);
  Py_VISIT(self->rider);
  for (PyObject* each : self->own) Py_VISIT(each);
  Py_VISIT(self->found);
  return 0;
}

// The class and the rider stay until the end: a call may still come.
int Clear(PyObject* object) {
  DriverMethod* self = MethodOf(object);
  Py_CLEAR(self->attributes);
  self->seen = SeenType();
  Py_CLEAR(self->found);
  return 0;
}

void Deallocate(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PyTypeObject* type = Py_TYPE(object);
  DriverMethod* self = MethodOf(object);
  Py_CLEAR(self->attributes);
  Py_CLEAR(self->base);
  Py_CLEAR(self->name);
  Py_CLEAR(self->rider);
  for (PyObject*& each : self->own) Py_CLEAR(each);
  Py_CLEAR(self->found);
  type->tp_free(object);
  Py_DECREF(type);
}

// A new reference to the class' own method; nullptr with an error set.
PyObject* FindOwn(DriverMethod* method) {
  auto* base = reinterpret_cast<PyTypeObject*>(method->base);
  PyObject* own = PyObject_GetAttr(method->base, method->name);
  // What other descriptors give, of the class or of its metaclass, may be another thing each time.
  const bool is_lasting = own != nullptr && PyType_Check(method->base) &&
                          (PyFunction_Check(own) || Py_IS_TYPE(own, &PyMethodDescr_Type)) &&
                          _PyType_Lookup(base, method->name) == own;
  if (is_lasting) {
    method->seen.Keep(base);
    Py_XSETREF(method->found, Py_NewRef(own));
  }
  return own;
}

}  // namespace

bool InitDriverMethod() {
  if (method_type != nullptr) return true;
  static std::array<PyMemberDef, 3> members = {{{.name = "__vectorcalloffset__",
                                                 .type = T_PYSSIZET,
                                                 .offset = offsetof(DriverMethod, vectorcall),
                                                 .flags = READONLY,
                                                 .doc = nullptr},
                                                {.name = "__dictoffset__",
                                                 .type = T_PYSSIZET,
                                                 .offset = offsetof(DriverMethod, attributes),
                                                 .flags = READONLY,
                                                 .doc = nullptr},
                                                {}}};
  static std::array<PyGetSetDef, 2> properties = {{{.name = "__dict__",
                                                    .get = &PyObject_GenericGetDict,
                                                    .set = &PyObject_GenericSetDict,
                                                    .doc = nullptr,
                                                    .closure = nullptr},
                                                   {}}};
  static std::array<PyType_Slot, 8> slots = {
      {{.slot = Py_tp_call, .pfunc = reinterpret_cast<void*>(&PyVectorcall_Call)},
       {.slot = Py_tp_descr_get, .pfunc = reinterpret_cast<void*>(&Bound)},
       {.slot = Py_tp_members, .pfunc = members.data()},
       {.slot = Py_tp_getset, .pfunc = properties.data()},
       {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&Traverse)},
       {.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&Clear)},
       {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&Deallocate)},
       {}}};
  // CPython fits its code to a method's class only if that class cannot change.
  static PyType_Spec spec = {"reqtrail._native.DriverMethod", sizeof(DriverMethod), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                                 Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                                 Py_TPFLAGS_IMMUTABLETYPE,
                             slots.data()};
  method_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return method_type != nullptr;
}

PyObject* MakeDriverMethod(vectorcallfunc vectorcall, PyObject* base, const char* name, PyObject* rider,
                           std::array<PyObject*, 4> own) {
  if (rider != nullptr && !CheckRider(rider)) return nullptr;
  PyObject* object = method_type->tp_alloc(method_type, 0);
  if (object == nullptr) return nullptr;
  DriverMethod* self = MethodOf(object);
  self->vectorcall = vectorcall;
  self->base = Py_NewRef(base);
  self->name = PyUnicode_InternFromString(name);
  self->rider = Py_XNewRef(rider);
  for (std::size_t at = 0; at < own.size(); ++at) self->own[at] = Py_XNewRef(own[at]);
  if (self->name == nullptr) Py_CLEAR(object);
  return object;
}

[[gnu::hot]] PyObject* CallOwn(DriverMethod* method, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  const bool is_known = method->seen.Is(reinterpret_cast<PyTypeObject*>(method->base));
  PyObject* own = is_known ? Py_NewRef(method->found) : FindOwn(method);
  if (own == nullptr) return nullptr;
  PyObject* result = PyObject_Vectorcall(own, args, nargsf, kwnames);
  Py_DECREF(own);
  return result;
}

}  // namespace reqtrail
