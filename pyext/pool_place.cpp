#include "pyext/pool_place.h"

#include <array>

#include "pyext/metric_object.h"

namespace reqtrail {
namespace {

struct Place {
  PyObject_HEAD PyObject* pool;  // nullptr before enter
  PyObject* idle;
  PyObject* checked_out;
  PyObject* current;  // one of the two, borrowed; nullptr: in none
};

PyTypeObject* gauge_type = nullptr;

Place* Self(PyObject* object) noexcept { return reinterpret_cast<Place*>(object); }

bool Add(PyObject* gauge, double amount) {
  MetricObject& metric = *Metric(gauge);
  if (!metric.gauge.IsCurrent() && !MakeUsable(metric)) return false;
  metric.gauge.Add(amount);
  return true;
}

// `to` may be nullptr: none.
bool MoveTo(Place* self, PyObject* to) {
  PyObject* from = self->current;
  if (from != nullptr && !Add(from, -1)) return false;
  self->current = nullptr;
  if (to != nullptr && !Add(to, 1)) return false;
  self->current = to;
  return true;
}

PyObject* Enter(PyObject* object, PyObject* args) {
  PyObject* pool = nullptr;
  PyObject* idle = nullptr;
  PyObject* checked_out = nullptr;
  if (PyArg_ParseTuple(args, "OO!O!", &pool, gauge_type, &idle, gauge_type, &checked_out) == 0) return nullptr;
  Place* self = Self(object);
  if (self->current != nullptr) {
    PyErr_SetString(PyExc_ValueError, "the place is taken");
    return nullptr;
  }
  Py_XSETREF(self->pool, Py_NewRef(pool));
  Py_XSETREF(self->idle, Py_NewRef(idle));
  Py_XSETREF(self->checked_out, Py_NewRef(checked_out));
  if (!MoveTo(self, self->checked_out)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* CheckOut(PyObject* object, PyObject* pool) {
  Place* self = Self(object);
  if (self->current == nullptr || self->current != self->idle || self->pool != pool) Py_RETURN_FALSE;
  if (!MoveTo(self, self->checked_out)) return nullptr;
  Py_RETURN_TRUE;
}

PyObject* CheckIn(PyObject* object, PyObject* /*unused*/) {
  Place* self = Self(object);
  if (self->current != nullptr && self->current == self->checked_out && !MoveTo(self, self->idle)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* Leave(PyObject* object, PyObject* /*unused*/) {
  Place* self = Self(object);
  if (self->current == nullptr) Py_RETURN_NONE;
  return MoveTo(self, nullptr) ? Py_NewRef(self->pool) : nullptr;
}

PyObject* Forget(PyObject* object, PyObject* /*unused*/) {
  Self(object)->current = nullptr;
  Py_RETURN_NONE;
}

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(Self(object)->pool);
  Py_VISIT(Self(object)->idle);
  Py_VISIT(Self(object)->checked_out);
  return 0;
}

int Clear(PyObject* object) {
  Self(object)->current = nullptr;
  Py_CLEAR(Self(object)->pool);
  Py_CLEAR(Self(object)->idle);
  Py_CLEAR(Self(object)->checked_out);
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
  static std::array<PyMethodDef, 6> methods = {
      {{.ml_name = "enter", .ml_meth = &Enter, .ml_flags = METH_VARARGS, .ml_doc = nullptr},
       {.ml_name = "check_out", .ml_meth = &CheckOut, .ml_flags = METH_O, .ml_doc = nullptr},
       {.ml_name = "check_in", .ml_meth = &CheckIn, .ml_flags = METH_NOARGS, .ml_doc = nullptr},
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
  gauge_type = reinterpret_cast<PyTypeObject*>(PyObject_GetAttrString(module, "Gauge"));
  PyObject* type = gauge_type == nullptr ? nullptr : PyType_FromSpec(&spec);
  const bool is_added = type != nullptr && PyModule_AddObjectRef(module, "PoolPlace", type) == 0;
  Py_XDECREF(type);
  return is_added;
}

}  // namespace reqtrail
