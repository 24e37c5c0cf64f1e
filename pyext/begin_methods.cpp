#include "pyext/begin_methods.h"

#include <array>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <utility>

#include "pyext/ascii_text.h"
#include "pyext/awaitable.h"
#include "pyext/begin_in_flight.h"
#include "pyext/begin_rider.h"
#include "pyext/driver_method.h"
#include "pyext/held_error.h"
#include "pyext/request_id_text.h"
#include "worker_hooks/interned_names.h"
#include "worker_hooks/owned.h"

namespace reqtrail {
namespace {

// What runs in each transaction is [[gnu::hot]], here and where it is called: it lies side by side then. By the time of
// a BEGIN others have taken the processor's caches, and each page of code more is one more to fetch.

struct DriverNames {
  PyObject* autocommit;
  PyObject* before;
  PyObject* begin;
  PyObject* begin_statement;
  PyObject* check_connection_ok;
  PyObject* connection;
  PyObject* execute;
  PyObject* is_in_transaction;
  PyObject* name;
  PyObject* pgconn;
  PyObject* pipeline;
  PyObject* protocol;
  PyObject* query;
  PyObject* send_query;
  PyObject* set;
  PyObject* status;
  PyObject* statusmessage;
};

DriverNames names{};

bool InitNames() {
  const InternedName table[] = {
      {&names.autocommit, "autocommit"},
      {&names.before, "_reqtrail_before"},
      {&names.begin, "BEGIN"},
      {&names.begin_statement, "_begin_statement"},
      {&names.check_connection_ok, "_check_connection_ok"},
      {&names.connection, "connection"},
      {&names.execute, "execute"},
      {&names.is_in_transaction, "is_in_transaction"},
      {&names.name, "name"},
      {&names.pgconn, "pgconn"},
      {&names.pipeline, "_pipeline"},
      {&names.protocol, "_protocol"},
      {&names.query, "query"},
      {&names.send_query, "send_query"},
      {&names.set, "SET"},
      {&names.status, "status"},
      {&names.statusmessage, "statusmessage"},
  };
  return InternNames(table);
}

// A new reference to `text`, which is of `type`, changed by `commented`, which may be None; nullptr with its error.
PyObject* Commented(PyObject* commented, PyObject* text, PyTypeObject* type) {
  if (commented == Py_None) return Py_NewRef(text);
  PyObject* changed = PyObject_CallOneArg(commented, text);
  if (changed != nullptr && PyObject_TypeCheck(changed, type) == 0) {
    PyErr_Format(PyExc_TypeError, "a comment made %.100s of %s", Py_TYPE(changed)->tp_name, type->tp_name);
    Py_CLEAR(changed);
  }
  return changed;
}

// ---- asyncpg ----

enum : std::uint8_t { kBegins, kAsyncpgCommented, kErrors, kRecover };

[[gnu::hot]] PyObject* SettleAsyncpg(const BeginInFlight& begin, PyObject** result) {
  if (*result != nullptr) {  // the status of the last command: "SET"
    Py_SETREF(*result, Py_NewRef(names.begin));
    return nullptr;
  }
  if (PyErr_ExceptionMatches(begin.method->own[kErrors]) == 0) return nullptr;
  HeldError error;
  PyObject* stack[] = {begin.connection, begin.command, begin.timeout, error.exception()};
  PyObject* recovery = PyObject_Vectorcall(begin.method->own[kRecover], stack, std::size(stack), nullptr);
  if (recovery != Py_None) return recovery;
  Py_DECREF(recovery);
  error.Restore();
  return nullptr;
}

// execute(query=...): the same with the query in its place.
PyObject* ExecuteByName(PyObject* callable, PyObject* connection, PyObject* const* values, PyObject* kwnames) {
  const Owned keywords(PyDict_New());
  if (!keywords) return nullptr;
  PyObject* query = nullptr;
  for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(kwnames); ++at) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, at);
    if (PyUnicode_Compare(name, names.query) == 0) {
      query = values[at];
    } else if (PyDict_SetItem(keywords.get(), name, values[at]) < 0) {
      return nullptr;
    }
  }
  PyObject* stack[] = {connection, query};
  return PyObject_VectorcallDict(callable, stack, query == nullptr ? 1 : 2, keywords.get());
}

// What the connection answers; nullptr with an error. Its protocol is asked, as its Transaction has just done.
PyObject* IsInTransaction(PyObject* connection) {
  const Owned protocol(PyObject_GetAttr(connection, names.protocol));
  if (!protocol) PyErr_Clear();  // another asyncpg: its own method is the public way
  return PyObject_CallMethodNoArgs(protocol ? protocol.get() : connection, names.is_in_transaction);
}

// The BEGIN with the id as a str, None when nothing rides on `command`, nullptr with an error.
PyObject* BeginOfAsyncpg(const DriverMethod* method, PyObject* connection, PyObject* command, PyObject* commented) {
  const Rider* rider = RiderOf(method->rider);
  // Of a subclass, a look-up could run anything.
  if (!PyUnicode_CheckExact(command) || !PyUnicode_IS_ASCII(commented)) Py_RETURN_NONE;
  const int begins = PySet_Contains(method->own[kBegins], command);
  if (begins < 0) return nullptr;
  if (begins == 0) Py_RETURN_NONE;
  // A BEGIN of the application's own in a transaction, or in a failed one, is answered as it would be without.
  const Owned in_transaction(IsInTransaction(connection));
  if (!in_transaction) PyErr_Clear();
  if (in_transaction.get() != Py_False) Py_RETURN_NONE;
  const CheckedRequestId id;
  const Owned front(id ? FrontFor(rider, connection) : Owned());
  if (!front) Py_RETURN_NONE;
  return AsciiText({AsciiView(commented), " ", AsciiView(front.get()), id.text(), "'"});
}

[[gnu::hot]] PyObject* ExecuteOfAsyncpg(PyObject* callable, PyObject* const* args, std::size_t nargsf,
                                        PyObject* kwnames) {
  DriverMethod* method = MethodOf(callable);
  const Py_ssize_t count = PyVectorcall_NARGS(nargsf);
  const Py_ssize_t named = kwnames == nullptr ? 0 : PyTuple_GET_SIZE(kwnames);
  const int by_name = count == 1 && named > 0 ? PySequence_Contains(kwnames, names.query) : 0;
  if (by_name != 0) return by_name < 0 ? nullptr : ExecuteByName(callable, args[0], args + 1, kwnames);
  // With arguments it goes through _get_statement.
  if (count != 2 || named > 1 || !PyUnicode_Check(args[1])) return CallOwn(method, args, nargsf, kwnames);
  const Owned commented(Commented(method->own[kAsyncpgCommented], args[1], &PyUnicode_Type));
  if (!commented) return nullptr;
  const Owned begin(BeginOfAsyncpg(method, args[0], args[1], commented.get()));
  if (!begin) return nullptr;
  PyObject* timeout = named == 1 ? args[2] : Py_None;
  PyObject* query = begin.get() == Py_None ? commented.get() : begin.get();
  PyObject* stack[] = {nullptr, args[0], query, timeout};
  PyObject* sent = CallOwn(method, stack + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
  if (begin.get() == Py_None) return sent;
  // Another instrument may return any awaitable.
  PyObject* inner = sent == nullptr ? nullptr : AwaitableIterator(sent);
  Py_XDECREF(sent);
  return MakeBeginInFlight(method, args[0], args[1], timeout, inner, &SettleAsyncpg);
}

// ---- psycopg ----

enum : std::uint8_t { kPsycopgCommented, kGenerators, kBeginInPipeline, kRefused };

constexpr long kCommandOk = 1;  // PGRES_COMMAND_OK of libpq

// The attribute as a number; -1 with an error set.
long NumberIn(PyObject* object, PyObject* name) {
  const Owned number(PyObject_GetAttr(object, name));
  return number ? PyLong_AsLong(number.get()) : -1;
}

[[gnu::hot]] PyObject* SettlePsycopg(const BeginInFlight& begin, PyObject** result) {
  if (*result == nullptr) return nullptr;
  const Owned results(std::exchange(*result, nullptr));
  if (!PyList_Check(results.get()) || PyList_GET_SIZE(results.get()) == 0) {
    PyErr_SetString(PyExc_TypeError, "psycopg changed: generators.execute() returned no list of results");
    return nullptr;
  }
  const long status = NumberIn(PyList_GET_ITEM(results.get(), PyList_GET_SIZE(results.get()) - 1), names.status);
  if (status == -1 && PyErr_Occurred() != nullptr) return nullptr;
  if (status == kCommandOk) {
    *result = Py_NewRef(PyList_GET_ITEM(results.get(), 0));
    return nullptr;
  }
  PyObject* stack[] = {begin.connection, begin.command, results.get()};
  return PyObject_Vectorcall(begin.method->own[kRefused], stack, std::size(stack), nullptr);
}

// Sends `message` and returns the generator of psycopg's that waits for the results.
PyObject* SendByPsycopg(const DriverMethod* method, PyObject* connection, PyObject* message) {
  const Owned checked(PyObject_CallMethodNoArgs(connection, names.check_connection_ok));
  const Owned pgconn(checked ? PyObject_GetAttr(connection, names.pgconn) : nullptr);
  const Owned sent(pgconn ? PyObject_CallMethodOneArg(pgconn.get(), names.send_query, message) : nullptr);
  return sent ? PyObject_CallMethodOneArg(method->own[kGenerators], names.execute, pgconn.get()) : nullptr;
}

[[gnu::hot]] PyObject* BeginByPsycopg(DriverMethod* method, PyObject* connection, PyObject* command,
                                      std::string_view front, std::string_view id) {
  const Owned pipeline(PyObject_GetAttr(connection, names.pipeline));
  if (!pipeline) return nullptr;
  if (pipeline.get() != Py_None) {
    const Owned statement(BytesText({front, id, "'"}));
    if (!statement) return nullptr;
    PyObject* stack[] = {connection, command, statement.get()};
    return PyObject_Vectorcall(method->own[kBeginInPipeline], stack, std::size(stack), nullptr);
  }
  const std::string_view begin{PyBytes_AS_STRING(command), static_cast<std::size_t>(PyBytes_GET_SIZE(command))};
  const Owned message(BytesText({begin, "; ", front, id, "'"}));
  if (!message) return nullptr;
  return MakeBeginInFlight(method, connection, command, Py_None, SendByPsycopg(method, connection, message.get()),
                           &SettlePsycopg);
}

// The very object that psycopg keeps for its own BEGIN: no command of an application is it.
bool IsOwnBegin(PyObject* connection, PyObject* command) noexcept {
  if (!PyBytes_CheckExact(command) || !std::string_view(PyBytes_AS_STRING(command)).starts_with("BEGIN")) return false;
  const Owned own(PyObject_GetAttr(connection, names.begin_statement));
  if (!own) PyErr_Clear();
  return own.get() == command;
}

[[gnu::hot]] PyObject* ExecCommandOfPsycopg(PyObject* callable, PyObject* const* args, std::size_t nargsf,
                                            PyObject* kwnames) {
  DriverMethod* method = MethodOf(callable);
  if (PyVectorcall_NARGS(nargsf) != 2 || kwnames != nullptr || !IsOwnBegin(args[0], args[1])) {
    return CallOwn(method, args, nargsf, kwnames);
  }
  const Owned command(Commented(method->own[kPsycopgCommented], args[1], &PyBytes_Type));
  if (!command) return nullptr;
  const Rider* rider = RiderOf(method->rider);
  const CheckedRequestId id;
  const Owned front(id ? FrontFor(rider, args[0]) : Owned());
  if (front) return BeginByPsycopg(method, args[0], command.get(), AsciiView(front.get()), id.text());
  PyObject* stack[] = {nullptr, args[0], command.get()};
  return CallOwn(method, stack + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

// ---- psycopg2 ----

enum : std::uint8_t { kExecute, kPsycopg2Errors, kAgain };

constexpr long kStatusReady = 1;  // psycopg2.extensions.STATUS_READY: no transaction has begun

enum class NextStatement : std::uint8_t { kBegins, kGoesOn, kUnusual };

// What the next statement of the cursor is, as far as its transaction is concerned. kUnusual also when it cannot be
// known.
NextStatement NextStatementOf(PyObject* cursor) noexcept {
  NextStatement next = NextStatement::kUnusual;
  const Owned connection(PyObject_GetAttr(cursor, names.connection));
  const Owned name(connection ? PyObject_GetAttr(cursor, names.name) : nullptr);
  if (name.get() == Py_None) {
    if (NumberIn(connection.get(), names.status) != kStatusReady) {
      next = NextStatement::kGoesOn;
    } else {
      const Owned autocommit(PyObject_GetAttr(connection.get(), names.autocommit));
      if (autocommit) next = autocommit.get() == Py_False ? NextStatement::kBegins : NextStatement::kGoesOn;
    }
  }
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    next = NextStatement::kUnusual;
  }
  return next;
}

// Forgets what was put in front of the statement before.
bool ForgetBefore(PyObject* cursor) {
  const Owned before(PyObject_GetAttr(cursor, names.before));
  return before && (before.get() == Py_None || PyObject_SetAttr(cursor, names.before, Py_None) == 0);
}

bool OnlySet(PyObject* cursor) noexcept {
  const Owned status(PyObject_GetAttr(cursor, names.statusmessage));
  if (!status) PyErr_Clear();
  return status && PyUnicode_Check(status.get()) && PyUnicode_Compare(status.get(), names.set) == 0;
}

// Whether the query is to be executed by itself: 1, 0, or -1 with an error set.
int IsToBeAgain(const DriverMethod* method, PyObject* cursor, PyObject* before, PyObject* query, PyObject* error) {
  PyObject* stack[] = {cursor, before, query, error};
  const Owned answer(PyObject_Vectorcall(method->own[kAgain], stack, std::size(stack), nullptr));
  return answer ? PyObject_IsTrue(answer.get()) : -1;
}

[[gnu::hot]] PyObject* ExecuteTogether(DriverMethod* method, PyObject* cursor, PyObject* query, PyObject* vars,
                                       PyObject* before) {
  const Owned text(PyUnicode_Concat(before, query));
  if (!text || PyObject_SetAttr(cursor, names.before, before) < 0) return nullptr;
  PyObject* stack[] = {nullptr, cursor, text.get(), vars};
  const Owned result(CallOwn(method, stack + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  int is_to_be_again = 0;
  if (result) {
    if (OnlySet(cursor)) is_to_be_again = IsToBeAgain(method, cursor, before, query, Py_None);
    if (is_to_be_again == 0) return Py_NewRef(result.get());
  } else {
    if (PyErr_ExceptionMatches(method->own[kPsycopg2Errors]) == 0) return nullptr;
    HeldError error;
    is_to_be_again = IsToBeAgain(method, cursor, before, query, error.exception());
    if (is_to_be_again == 0) error.Restore();
  }
  if (is_to_be_again != 1) return nullptr;
  stack[2] = query;
  return CallOwn(method, stack + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

[[gnu::hot]] PyObject* ExecuteOfPsycopg2(PyObject* callable, PyObject* const* args, std::size_t nargsf,
                                         PyObject* kwnames) {
  DriverMethod* method = MethodOf(callable);
  const Py_ssize_t count = PyVectorcall_NARGS(nargsf);
  const bool is_usual = kwnames == nullptr && (count == 2 || count == 3) && PyUnicode_CheckExact(args[1]) &&
                        PyUnicode_GET_LENGTH(args[1]) > 0;
  const NextStatement next = is_usual ? NextStatementOf(args[0]) : NextStatement::kUnusual;
  if (next == NextStatement::kUnusual) return PyObject_Vectorcall(method->own[kExecute], args, nargsf, kwnames);
  const Rider* rider = RiderOf(method->rider);
  if (next == NextStatement::kBegins) {
    const CheckedRequestId id;
    const Owned front(id ? FrontFor(rider, args[0]) : Owned());
    if (front) {
      const Owned before(AsciiText({AsciiView(front.get()), id.text(), "';\n"}));
      return before ? ExecuteTogether(method, args[0], args[1], count == 3 ? args[2] : Py_None, before.get()) : nullptr;
    }
  }
  return ForgetBefore(args[0]) ? CallOwn(method, args, nargsf, kwnames) : nullptr;
}

// ---- the module ----

PyObject* AsyncpgExecute(PyObject* /*module*/, PyObject* args) {
  PyObject* base = nullptr;
  PyObject* rider = nullptr;
  std::array<PyObject*, 4> own{};
  if (PyArg_ParseTuple(args, "OOO!OOO", &base, &rider, &PyFrozenSet_Type, &own[kBegins], &own[kAsyncpgCommented],
                       &own[kErrors], &own[kRecover]) == 0) {
    return nullptr;
  }
  return MakeDriverMethod(&ExecuteOfAsyncpg, base, "execute", rider, own);
}

PyObject* PsycopgExecCommand(PyObject* /*module*/, PyObject* args) {
  PyObject* base = nullptr;
  PyObject* rider = nullptr;
  std::array<PyObject*, 4> own{};
  if (PyArg_ParseTuple(args, "OOOOOO", &base, &rider, &own[kPsycopgCommented], &own[kGenerators],
                       &own[kBeginInPipeline], &own[kRefused]) == 0) {
    return nullptr;
  }
  return MakeDriverMethod(&ExecCommandOfPsycopg, base, "_exec_command", rider, own);
}

PyObject* Psycopg2Execute(PyObject* /*module*/, PyObject* args) {
  PyObject* base = nullptr;
  PyObject* rider = nullptr;
  std::array<PyObject*, 4> own{};
  if (PyArg_ParseTuple(args, "OOOOO", &base, &rider, &own[kExecute], &own[kPsycopg2Errors], &own[kAgain]) == 0) {
    return nullptr;
  }
  return MakeDriverMethod(&ExecuteOfPsycopg2, base, "execute", rider, own);
}

std::array<PyMethodDef, 4> functions{
    {{.ml_name = "asyncpg_execute", .ml_meth = &AsyncpgExecute, .ml_flags = METH_VARARGS, .ml_doc = nullptr},
     {.ml_name = "psycopg_exec_command", .ml_meth = &PsycopgExecCommand, .ml_flags = METH_VARARGS, .ml_doc = nullptr},
     {.ml_name = "psycopg2_execute", .ml_meth = &Psycopg2Execute, .ml_flags = METH_VARARGS, .ml_doc = nullptr},
     {}}};

}  // namespace

bool AddBeginMethods(PyObject* module) {
  return InitNames() && InitDriverMethod() && InitBeginInFlight() &&
         PyModule_AddFunctions(module, functions.data()) == 0;
}

}  // namespace reqtrail
