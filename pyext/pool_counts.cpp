#include "pyext/pool_counts.h"

#include <structmember.h>

#include <array>
#include <cstddef>
#include <utility>

namespace reqtrail {
namespace {

PyTypeObject* counts_type = nullptr;
PyTypeObject* counted_pool_type = nullptr;
PyObject* gauge_type = nullptr;
PyObject* histogram_type = nullptr;

CountedPool* Self(PyObject* object) noexcept { return reinterpret_cast<CountedPool*>(object); }

bool Check(PyObject* object, PyTypeObject* type) {
  if (PyObject_TypeCheck(object, type) != 0) return true;
  PyErr_Format(PyExc_TypeError, "expected a %s, not %.100s", type->tp_name, Py_TYPE(object)->tp_name);
  return false;
}

// ---- PoolCounts ----

PyObject* NewCounts(PyTypeObject* type, PyObject* args, PyObject* /*kwargs*/) {
  PyObject* waiting = nullptr;
  PyObject* wait = nullptr;
  PyObject* idle = nullptr;
  PyObject* checked_out = nullptr;
  if (PyArg_ParseTuple(args, "O!O!O!O!", gauge_type, &waiting, histogram_type, &wait, gauge_type, &idle, gauge_type,
                       &checked_out) == 0) {
    return nullptr;
  }
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  PoolCounts* self = CountsOf(object);
  self->waiting = Metric(Py_NewRef(waiting));
  self->wait = Metric(Py_NewRef(wait));
  self->idle = Metric(Py_NewRef(idle));
  self->checked_out = Metric(Py_NewRef(checked_out));
  return object;
}

int TraverseCounts(PyObject* object, visitproc visit, void* arg) {
  PoolCounts* self = CountsOf(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->waiting);
  Py_VISIT(self->wait);
  Py_VISIT(self->idle);
  Py_VISIT(self->checked_out);
  return 0;
}

void DeallocateCounts(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PyTypeObject* type = Py_TYPE(object);
  PoolCounts* self = CountsOf(object);
  Py_CLEAR(self->waiting);
  Py_CLEAR(self->wait);
  Py_CLEAR(self->idle);
  Py_CLEAR(self->checked_out);
  type->tp_free(object);
  Py_DECREF(type);
}

// A metric keeps nothing that could keep counts: there is no cycle to clear.
PyTypeObject* MakeCountsType() {
  static std::array<PyMemberDef, 5> members = {
      {{.name = "waiting",
        .type = T_OBJECT_EX,
        .offset = offsetof(PoolCounts, waiting),
        .flags = READONLY,
        .doc = nullptr},
       {.name = "wait", .type = T_OBJECT_EX, .offset = offsetof(PoolCounts, wait), .flags = READONLY, .doc = nullptr},
       {.name = "idle", .type = T_OBJECT_EX, .offset = offsetof(PoolCounts, idle), .flags = READONLY, .doc = nullptr},
       {.name = "checked_out",
        .type = T_OBJECT_EX,
        .offset = offsetof(PoolCounts, checked_out),
        .flags = READONLY,
        .doc = nullptr},
       {}}};
  static std::array<PyType_Slot, 5> slots = {
      {{.slot = Py_tp_new, .pfunc = reinterpret_cast<void*>(&NewCounts)},
       {.slot = Py_tp_members, .pfunc = members.data()},
       {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&TraverseCounts)},
       {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&DeallocateCounts)},
       {}}};
  static PyType_Spec spec = {"reqtrail._native.PoolCounts", sizeof(PoolCounts), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, slots.data()};
  return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
}

// ---- CountedPool ----

PyObject* Keep(PyObject* object, PyObject* counts) {
  CountedPool* self = Self(object);
  if (!CheckPoolCounts(counts)) return nullptr;
  if (self->counts == nullptr) self->counts = Py_NewRef(counts);
  return Py_NewRef(self->counts);
}

PyObject* Take(PyObject* object, PyObject* /*unused*/) {
  PyObject* counts = std::exchange(Self(object)->counts, nullptr);
  return counts == nullptr ? Py_NewRef(Py_None) : counts;
}

int TraversePool(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(Self(object)->counts);
  return 0;
}

int ClearPool(PyObject* object) {
  Py_CLEAR(Self(object)->counts);
  return 0;
}

void DeallocatePool(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PyTypeObject* type = Py_TYPE(object);
  Py_CLEAR(Self(object)->counts);
  type->tp_free(object);
  Py_DECREF(type);
}

PyTypeObject* MakeCountedPoolType() {
  static std::array<PyMemberDef, 2> members = {
      {{.name = "counts", .type = T_OBJECT, .offset = offsetof(CountedPool, counts), .flags = READONLY, .doc = nullptr},
       {}}};
  static std::array<PyMethodDef, 3> methods = {
      {{.ml_name = "keep", .ml_meth = &Keep, .ml_flags = METH_O, .ml_doc = nullptr},
       {.ml_name = "take", .ml_meth = &Take, .ml_flags = METH_NOARGS, .ml_doc = nullptr},
       {}}};
  static std::array<PyType_Slot, 7> slots = {
      {{.slot = Py_tp_new, .pfunc = reinterpret_cast<void*>(&PyType_GenericNew)},
       {.slot = Py_tp_members, .pfunc = members.data()},
       {.slot = Py_tp_methods, .pfunc = methods.data()},
       {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&TraversePool)},
       {.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&ClearPool)},
       {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&DeallocatePool)},
       {}}};
  static PyType_Spec spec = {"reqtrail._native.CountedPool", sizeof(CountedPool), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, slots.data()};
  return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
}

bool Add(PyObject* module, const char* name, PyTypeObject* type) {
  return type != nullptr && PyModule_AddObjectRef(module, name, reinterpret_cast<PyObject*>(type)) == 0;
}

}  // namespace

bool AddPoolCounts(PyObject* module) {
  gauge_type = PyObject_GetAttrString(module, "Gauge");
  histogram_type = PyObject_GetAttrString(module, "Histogram");
  if (gauge_type == nullptr || histogram_type == nullptr) return false;
  counts_type = MakeCountsType();
  counted_pool_type = MakeCountedPoolType();
  return Add(module, "PoolCounts", counts_type) && Add(module, "CountedPool", counted_pool_type);
}

bool CheckPoolCounts(PyObject* object) { return Check(object, counts_type); }

bool CheckCountedPool(PyObject* object) { return Check(object, counted_pool_type); }

}  // namespace reqtrail
