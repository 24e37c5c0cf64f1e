#include "pyext/id_policy.h"

#include <array>
#include <string_view>

#include "core/id_generator.h"
#include "core/incoming_id.h"
#include "core/request_id.h"
#include "pyext/ascii_text.h"
#include "pyext/asgi_names.h"
#include "pyext/instrument_fault.h"
#include "pyext/request_headers.h"

namespace reqtrail {
namespace {

PyObject* NewBytes(std::string_view text) noexcept {
  return PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

// Steals `result`. What a callable of the application answered to a question; a fault is reported, and is a no.
bool IsYes(PyObject* result, const char* where) noexcept {
  int yes = -1;
  if (result != nullptr && PyCoro_CheckExact(result)) {
    PyErr_SetString(PyExc_TypeError, "the callable must not be async: its coroutine would always be true");
    PyObject* closed = PyObject_CallMethodNoArgs(result, Names().close);  // else it warns that it was never awaited
    Py_XDECREF(closed);
  } else if (result != nullptr) {
    yes = PyObject_IsTrue(result);
  }
  Py_XDECREF(result);
  if (yes < 0) ReportFault(where);
  return yes == 1;
}

bool IsTrusted(const IdPolicy& policy, PyObject* scope) noexcept {
  if (policy.trust_incoming == Py_True || policy.trust_incoming == Py_False) return policy.trust_incoming == Py_True;
  return IsYes(PyObject_CallOneArg(policy.trust_incoming, scope), "trust_incoming");
}

bool PassesValidator(const IdPolicy& policy, PyObject* id) noexcept {
  return policy.validator == nullptr || IsYes(PyObject_CallOneArg(policy.validator, id), "request id validator");
}

// The id in the request's own header. False with an error.
bool TakeGiven(const IdPolicy& policy, std::string_view id, PyObject* value, TakenId* taken) noexcept {
  PyObject* text = NewAscii(id);
  if (text == nullptr) return false;
  if (!PassesValidator(policy, text)) {
    Py_DECREF(text);
    taken->rejected = true;
    return true;
  }
  taken->text = text;
  taken->bytes = PyBytes_CheckExact(value) ? Py_NewRef(value) : NewBytes(id);
  taken->given = true;
  return taken->bytes != nullptr;
}

// The traceparent and, unless there is an id already, its trace id. False with an error.
bool TakeTrace(const IdPolicy& policy, const Traceparent& trace, TakenId* taken) noexcept {
  const std::array<char, kTraceparentBytes> text = AsVersion0(trace);
  taken->traceparent = NewAscii({text.data(), text.size()});
  if (taken->traceparent == nullptr) return false;
  if (taken->text != nullptr) return true;
  PyObject* id = NewAscii(trace.trace_id);
  if (id == nullptr) return false;
  if (!PassesValidator(policy, id)) {
    Py_DECREF(id);
    return true;
  }
  taken->text = id;
  taken->bytes = NewBytes(trace.trace_id);
  return taken->bytes != nullptr;
}

// What the request names. False with an error.
bool TakeIncoming(const IdPolicy& policy, PyObject* scope, TakenId* taken) noexcept {
  PyObject* headers = DictItem(scope, Names().headers);
  if (headers == nullptr || !(PyList_Check(headers) || PyTuple_Check(headers))) return true;
  IncomingId incoming(BytesView(policy.header_name));
  PyObject* value_of_id = nullptr;
  bool found = false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(headers);
  PyObject** pairs = PySequence_Fast_ITEMS(headers);
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* name = nullptr;
    PyObject* value = nullptr;
    if (!SplitPair(pairs[i], &name, &value) || !PyBytes_Check(name) || !incoming.MayTake(BytesView(name))) continue;
    const std::string_view text = PyBytes_Check(value) ? BytesView(value) : std::string_view{};
    const IncomingId::Header header = incoming.Offer(BytesView(name), text);
    if (header == IncomingId::Header::kOther) continue;
    found = true;
    if (header == IncomingId::Header::kRequestId) value_of_id = value;
  }
  if (!found) {
    taken->other_headers = Py_NewRef(headers);
    return true;
  }
  // The callables below are code of the application: it must not take away what the views point into.
  Py_INCREF(headers);
  Py_XINCREF(value_of_id);
  bool taken_well = true;
  if (IsTrusted(policy, scope)) {
    taken->rejected = incoming.IsRejected();
    const std::optional<Traceparent> trace = incoming.Trace();
    if (!incoming.Id().empty()) taken_well = TakeGiven(policy, incoming.Id(), value_of_id, taken);
    if (taken_well && trace) taken_well = TakeTrace(policy, *trace, taken);
  }
  Py_XDECREF(value_of_id);
  Py_DECREF(headers);
  return taken_well;
}

// Steals `made`, which a callable of the application gave for an id, and puts it in place of the one in `taken`. If it
// is none, that is reported, and `taken` stays as it is.
void TakeMade(PyObject* made, const char* where, TakenId* taken) noexcept {
  PyObject* text = nullptr;
  PyObject* bytes = nullptr;
  if (made != nullptr && !(PyUnicode_Check(made) && PyUnicode_IS_ASCII(made))) {
    PyErr_Format(PyExc_TypeError, "it must return a request id as a str of ASCII characters, not %.100s",
                 Py_TYPE(made)->tp_name);
  } else if (made != nullptr) {
    const std::string_view id = AsciiView(made);
    const RequestIdFault fault = CheckRequestId(id);
    if (fault != RequestIdFault::kNone) {
      PyErr_Format(PyExc_ValueError, "it returned what is no request id: %s", Describe(fault));
    } else {
      // NewAscii: a subclass of str could say one thing here and another in a log line.
      text = PyUnicode_CheckExact(made) ? Py_NewRef(made) : NewAscii(id);
      bytes = NewBytes(id);
    }
  }
  Py_XDECREF(made);
  if (text == nullptr || bytes == nullptr) {
    Py_XDECREF(text);
    Py_XDECREF(bytes);
    ReportFault(where);
    return;
  }
  Py_XSETREF(taken->text, text);
  Py_XSETREF(taken->bytes, bytes);
}

void Transform(const IdPolicy& policy, TakenId* taken) noexcept {
  PyObject* before = Py_NewRef(taken->bytes);
  TakeMade(PyObject_CallOneArg(policy.transformer, taken->text), "request id transformer", taken);
  taken->given = taken->given && BytesView(before) == BytesView(taken->bytes);
  Py_DECREF(before);
}

}  // namespace

bool TakeRequestId(const IdPolicy& policy, PyObject* scope, TakenId* taken) {
  if (policy.trust_incoming != Py_False && !TakeIncoming(policy, scope, taken)) return false;
  if (taken->text == nullptr && policy.generator != nullptr) {
    TakeMade(PyObject_CallNoArgs(policy.generator), "request id generator", taken);
  }
  if (taken->text == nullptr) {
    const UuidText uuid = GenerateUuid4();
    taken->text = NewAscii({uuid.data(), uuid.size()});
    taken->bytes = NewBytes({uuid.data(), uuid.size()});
    if (taken->text == nullptr || taken->bytes == nullptr) return false;
  }
  if (policy.transformer != nullptr) Transform(policy, taken);
  return true;
}

}  // namespace reqtrail
