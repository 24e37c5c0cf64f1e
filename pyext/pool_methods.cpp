#include "pyext/pool_methods.h"

#include <array>
#include <cstdint>
#include <ctime>
#include <iterator>
#include <utility>

#include "pyext/driver_method.h"
#include "pyext/held_error.h"
#include "pyext/metric_types.h"
#include "pyext/pool_counts.h"
#include "pyext/pool_place.h"
#include "worker_hooks/interned_names.h"
#include "worker_hooks/owned.h"

namespace reqtrail {
namespace {

enum : std::uint8_t { kSeries };

struct PoolNames {
  PyObject* begin;
  PyObject* connection_record;
  PyObject* dbapi_connection;
  PyObject* fail;
  PyObject* first_check_out;
  PyObject* give_back;
  PyObject* no_check_out;
  PyObject* place;
  PyObject* record_info;
};

PoolNames names{};

bool InitNames() {
  const InternedName table[] = {
      {&names.begin, "begin"},
      {&names.connection_record, "_connection_record"},
      {&names.dbapi_connection, "dbapi_connection"},
      {&names.fail, "fail"},
      {&names.first_check_out, "first_check_out"},
      {&names.give_back, "give_back"},
      {&names.no_check_out, "no_check_out"},
      {&names.place, "reqtrail_place"},
      {&names.record_info, "record_info"},
  };
  return InternNames(table);
}

double Now() noexcept {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + (static_cast<double>(now.tv_nsec) * 1e-9);
}

// Takes the error of the counting away and ends the counting. False, with an error set, when it was no Exception: an
// interrupt is the application's.
bool EndCounting(PyObject* series) {
  if (PyErr_ExceptionMatches(PyExc_Exception) == 0) return false;
  HeldError fault;
  return static_cast<bool>(Owned(PyObject_CallMethodOneArg(series, names.fail, fault.exception())));
}

// ---- the place of a connection ----

// Where the place of a pool's record is kept. `record` is one, or another object with its attribute.
Owned InfoOf(PyObject* record) { return Owned(PyObject_GetAttr(record, names.record_info)); }

// The same of what the pool hands out; None when it has left the pool already.
Owned InfoOfConnection(PyObject* connection) {
  // Without __getattr__, to look for which takes longer than the rest.
  Owned record(PyObject_GenericGetAttr(connection, names.connection_record));
  if (record) return record.get() == Py_None ? std::move(record) : InfoOf(record.get());
  if (PyErr_ExceptionMatches(PyExc_AttributeError) == 0) return Owned();
  PyErr_Clear();  // a pool of the application's own hands out what it likes
  return InfoOf(connection);
}

// The place; none without an error when there is none yet.
Owned PlaceIn(PyObject* info) {
  if (!PyDict_Check(info)) {
    PyErr_Format(PyExc_TypeError, "SQLAlchemy changed: record_info is a %.100s", Py_TYPE(info)->tp_name);
    return Owned();
  }
  PyObject* place = PyDict_GetItemWithError(info, names.place);
  return Owned(IsPoolPlace(place) ? Py_NewRef(place) : nullptr);
}

// ---- connect ----

// Where the pool counts; none when it does not, or with an error.
Owned CountsHere(PyObject* series, PyObject* pool) {
  PyObject* counts = reinterpret_cast<CountedPool*>(series)->counts;
  if (counts != nullptr) return Owned(Py_NewRef(counts));
  Owned begun(PyObject_CallMethodOneArg(series, names.begin, pool));
  return begun && begun.get() != Py_None && CheckPoolCounts(begun.get()) ? std::move(begun) : Owned();
}

bool CountCheckOut(PyObject* series, PyObject* counts, PyObject* connection, double waited) {
  if (!AddToGauge(*CountsOf(counts)->waiting, -1) || !ObserveInRequest(*CountsOf(counts)->wait, waited)) return false;
  const Owned info(InfoOfConnection(connection));
  if (info.get() == Py_None) return true;
  const Owned place(info ? PlaceIn(info.get()) : Owned());
  if (PyErr_Occurred() != nullptr) return false;
  const int moved = place ? CheckOut(place.get(), counts) : 0;
  if (moved != 0) return moved > 0;
  PyObject* stack[] = {series, counts, info.get()};
  return static_cast<bool>(Owned(PyObject_VectorcallMethod(names.first_check_out, stack, std::size(stack), nullptr)));
}

// Leaves the error of the pool set, or what interrupted the counting of it.
void CountError(PyObject* series, PyObject* counts, double waited) {
  HeldError error;
  const Owned seconds(PyFloat_FromDouble(waited));
  if (!seconds) return;
  PyObject* stack[] = {series, counts, seconds.get(), error.exception()};
  const Owned told(PyObject_VectorcallMethod(names.no_check_out, stack, std::size(stack), nullptr));
  if (told) error.Restore();
}

[[gnu::hot]] PyObject* Connect(PyObject* callable, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  DriverMethod* method = MethodOf(callable);
  if (PyVectorcall_NARGS(nargsf) == 0) return CallOwn(method, args, nargsf, kwnames);
  PyObject* series = method->own[kSeries];
  const Owned counts(CountsHere(series, args[0]));
  const bool waits = counts && AddToGauge(*CountsOf(counts.get())->waiting, 1);
  if (!waits) {
    if (PyErr_Occurred() != nullptr && !EndCounting(series)) return nullptr;
    return CallOwn(method, args, nargsf, kwnames);
  }
  const double asked = Now();
  const Owned connection(CallOwn(method, args, nargsf, kwnames));
  const double waited = Now() - asked;
  if (!connection) {
    CountError(series, counts.get(), waited);
    return nullptr;
  }
  const bool is_counted = CountCheckOut(series, counts.get(), connection.get(), waited) || EndCounting(series);
  return is_counted ? Py_NewRef(connection.get()) : nullptr;
}

// ---- _return_conn ----

// Not the event "checkin", to dispatch which takes longer than all the counting.
bool CountCheckIn(PyObject* record) {
  const Owned info(InfoOf(record));
  const Owned place(info ? PlaceIn(info.get()) : Owned());
  if (!place) return PyErr_Occurred() == nullptr;
  const Owned connection(PyObject_GetAttr(record, names.dbapi_connection));
  if (!connection) return false;
  if (connection.get() != Py_None) return CheckIn(place.get());
  return static_cast<bool>(Owned(PyObject_CallMethodNoArgs(place.get(), names.give_back)));
}

[[gnu::hot]] PyObject* ReturnConn(PyObject* callable, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  DriverMethod* method = MethodOf(callable);
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  const bool has_record = PyVectorcall_NARGS(nargsf) + named == 2;
  if (has_record && !CountCheckIn(args[1]) && !EndCounting(method->own[kSeries])) return nullptr;
  return CallOwn(method, args, nargsf, kwnames);
}

// ---- the module ----

PyObject* MakeMethod(PyObject* args, vectorcallfunc vectorcall, const char* name) {
  PyObject* base = nullptr;
  PyObject* series = nullptr;
  if (PyArg_ParseTuple(args, "OO", &base, &series) == 0 || !CheckCountedPool(series)) return nullptr;
  const Owned own(PyObject_GetAttrString(base, name));  // an error now, not at the first checkout
  return own ? MakeDriverMethod(vectorcall, base, name, nullptr, {series}) : nullptr;
}

PyObject* PoolConnect(PyObject* /*module*/, PyObject* args) { return MakeMethod(args, &Connect, "connect"); }

PyObject* PoolReturnConn(PyObject* /*module*/, PyObject* args) { return MakeMethod(args, &ReturnConn, "_return_conn"); }

std::array<PyMethodDef, 3> functions{
    {{.ml_name = "pool_connect", .ml_meth = &PoolConnect, .ml_flags = METH_VARARGS, .ml_doc = nullptr},
     {.ml_name = "pool_return_conn", .ml_meth = &PoolReturnConn, .ml_flags = METH_VARARGS, .ml_doc = nullptr},
     {}}};

}  // namespace

bool AddPoolMethods(PyObject* module) {
  return InitNames() && PyModule_AddObjectRef(module, "POOL_PLACE", names.place) == 0 &&
         PyModule_AddFunctions(module, functions.data()) == 0;
}

}  // namespace reqtrail
