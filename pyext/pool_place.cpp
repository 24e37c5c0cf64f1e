#include "pyext/pool_place.h"

#include <array>
#include <cstdint>

#include "pyext/metric_types.h"
#include "pyext/pool_counts.h"
#include "worker_hooks/owned.h"

namespace reqtrail {
namespace {

enum class Gauge : std::uint8_t { kNone, kIdle, kCheckedOut };

struct Place {
  PyObject_HEAD PyObject* counts;  // nullptr before enter
  Gauge current;
};

PyTypeObject* place_type = nullptr;

Place* Self(PyObject* object) noexcept { return reinterpret_cast<Place*>(object); }

bool Add(const PoolCounts* counts, Gauge gauge, double amount) {
  return gauge == Gauge::kNone || AddToGauge(gauge == Gauge::kIdle ? *counts->idle : *counts->checked_out, amount);
}

// REQUIRES: it has counts.
bool MoveTo(Place* self, Gauge gauge) {
  const Owned held(Py_NewRef(self->counts));  // a gauge that is bound to the segment anew runs Python
  const PoolCounts* counts = CountsOf(held.get());
  if (!Add(counts, self->current, -1)) return false;
  self->current = Gauge::kNone;
  if (!Add(counts, gauge, 1)) return false;
  self->current = gauge;
  return true;
}

PyObject* Enter(PyObject* object, PyObject* counts) {
  Place* self = Self(object);
  if (!CheckPoolCounts(counts)) return nullptr;
  if (self->current != Gauge::kNone) {
    PyErr_SetString(PyExc_ValueError, "the place is taken");
    return nullptr;
  }
  Py_XSETREF(self->counts, Py_NewRef(counts));
  if (!MoveTo(self, Gauge::kCheckedOut)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* Leave(PyObject* object, PyObject* /*unused*/) {
  Place* self = Self(object);
  if (self->current == Gauge::kNone) Py_RETURN_NONE;
  return MoveTo(self, Gauge::kNone) ? Py_NewRef(self->counts) : nullptr;
}

PyObject* Forget(PyObject* object, PyObject* /*unused*/) {
  Self(object)->current = Gauge::kNone;
  Py_RETURN_NONE;
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(Self(object)->counts);
  return 0;
}

int Clear(PyObject* object) {
  Self(object)->current = Gauge::kNone;
  Py_CLEAR(Self(object)->counts);
  return 0;
}

void Deallocate(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PyTypeObject* type = Py_TYPE(object);
  Clear(object);
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace

bool AddPoolPlace(PyObject* module) {
  static std::array<PyMethodDef, 4> methods = {
      {{.ml_name = "enter", .ml_meth = &Enter, .ml_flags = METH_O, .ml_doc = nullptr},
       {.ml_name = "leave", .ml_meth = &Leave, .ml_flags = METH_NOARGS, .ml_doc = nullptr},
       {.ml_name = "forget", .ml_meth = &Forget, .ml_flags = METH_NOARGS, .ml_doc = nullptr},
       {}}};
  static std::array<PyType_Slot, 6> slots = {{{.slot = Py_tp_new, .pfunc = reinterpret_cast<void*>(&PyType_GenericNew)},
                                              {.slot = Py_tp_methods, .pfunc = methods.data()},
                                              {.slot = Py_tp_traverse, .pfunc = reinterpret_cast<void*>(&Traverse)},
                                              {.slot = Py_tp_clear, .pfunc = reinterpret_cast<void*>(&Clear)},
                                              {.slot = Py_tp_dealloc, .pfunc = reinterpret_cast<void*>(&Deallocate)},
                                              {}}};
  static PyType_Spec spec = {"reqtrail._native.PoolPlace", sizeof(Place), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, slots.data()};
  place_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return place_type != nullptr &&
         PyModule_AddObjectRef(module, "PoolPlace", reinterpret_cast<PyObject*>(place_type)) == 0;
}

bool IsPoolPlace(PyObject* object) noexcept { return object != nullptr && PyObject_TypeCheck(object, place_type) != 0; }

[[gnu::hot]] int CheckOut(PyObject* place, PyObject* counts) {
  Place* self = Self(place);
  if (self->current != Gauge::kIdle || self->counts != counts) return 0;
  return MoveTo(self, Gauge::kCheckedOut) ? 1 : -1;
}

[[gnu::hot]] bool CheckIn(PyObject* place) {
  Place* self = Self(place);
  return self->current != Gauge::kCheckedOut || MoveTo(self, Gauge::kIdle);
}

}  // namespace reqtrail
