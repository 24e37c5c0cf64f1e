#include "pyext/asgi_call.h"

#include "pyext/asgi_names.h"
#include "pyext/asgi_send.h"
#include "pyext/awaitable.h"
#include "pyext/free_list.h"
#include "pyext/held_error.h"
#include "pyext/instrument_fault.h"
#include "pyext/request_context.h"
#include "pyext/request_headers.h"
#include "pyext/request_recorder.h"
#include "pyext/request_state.h"

namespace reqtrail {
namespace {

enum class Stage : unsigned char { kCreated, kSuspended, kRunning, kFinished };

struct Call {
  PyObject_HEAD Middleware* middleware;
  PyObject* scope;
  PyObject* receive;
  PyObject* send;
  Exchange* exchange;  // nullptr before the first step, and when an outer middleware already has this request
  PyObject* iterator;  // of the application's awaitable
  PyObject* token;     // of the context variable
  PyObject* trace_token;
  PyObject* traceparent;  // that of the request, or nullptr
  PyObject* root_path;    // as the server gave it: a mount lengthens the one in the scope
  Call* next;             // in the list of those that are recorded and have not ended
  Call** link_to_this;    // nullptr: not in the list
  Stage stage;
};

PyTypeObject* call_type = nullptr;
Call* running_calls = nullptr;
FreeList<Call> free_calls;

Call* AsCall(PyObject* object) noexcept { return reinterpret_cast<Call*>(object); }

void AddToRunning(Call* self) noexcept {
  self->next = running_calls;
  self->link_to_this = &running_calls;
  if (running_calls != nullptr) running_calls->link_to_this = &self->next;
  running_calls = self;
}

void RemoveFromRunning(Call* self) noexcept {
  if (self->link_to_this == nullptr) return;
  *self->link_to_this = self->next;
  if (self->next != nullptr) self->next->link_to_this = self->link_to_this;
  self->link_to_this = nullptr;
}

// The recorded request with this very str for its id; nullptr when there is none.
Call* RunningCallOf(PyObject* id) noexcept {
  Call* call = running_calls;
  while (call != nullptr && call->exchange->id != id) call = call->next;
  return call;
}

// What the context is to have for a traceparent, as a new reference; nullptr where it has that already. One of another
// request, from within which this one is begun (uvicorn does that with pipelined ones), is hidden by None.
PyObject* TraceparentFor(const TakenId& taken) noexcept {
  if (taken.traceparent != nullptr) return Py_NewRef(taken.traceparent);
  PyObject* of_other = CurrentTraceparent();
  if (of_other == nullptr) return nullptr;
  Py_DECREF(of_other);
  return Py_NewRef(Py_None);
}

// Puts the id where the application looks for it.
void Announce(Call* self, PyObject* state, const TakenId& taken) noexcept {
  if (!SetRequestState(state, taken.text, taken.traceparent, self->middleware->logger)) ReportFault("request state");
  if (!taken.given && self->middleware->updates_request_header &&
      !SetRequestHeader(self->scope, self->exchange->header, taken.other_headers)) {
    ReportFault("request header");
  }
  self->traceparent = Py_XNewRef(taken.traceparent);
  PyObject* traceparent = TraceparentFor(taken);  // before there is an id: it is quick to look into an empty context
  self->token = PyContextVar_Set(RequestIdVar(), taken.text);
  if (self->token == nullptr) ReportFault("context variable");
  if (traceparent == nullptr) return;
  self->trace_token = PyContextVar_Set(TraceparentVar(), traceparent);
  Py_DECREF(traceparent);
  if (self->trace_token == nullptr) ReportFault("context variable");
}

void StartRecording(Call* self, bool rejected_id) noexcept {
  self->root_path = Py_XNewRef(DictItem(self->scope, Names().root_path));
  AddToRunning(self);
  RecordBegin(self->middleware->recorder, self->exchange, self->scope, rejected_id);
}

// Takes or makes the id and tells it. A fault leaves the request as it was.
void OpenExchange(Call* self) noexcept {
  PyObject* state = RequestState(self->scope);
  if (state == nullptr) {
    ReportFault("request state");
    return;
  }
  const Middleware* middleware = self->middleware;
  TakenId taken;
  taken.text = IdOfOuterMiddleware(state);
  const bool is_inner = taken.text != nullptr;
  if (is_inner && (middleware->recorder == nullptr || RunningCallOf(taken.text) != nullptr)) {
    taken.Clear();
    return;
  }
  if (is_inner) taken.bytes = PyUnicode_AsASCIIString(taken.text);
  if (is_inner ? taken.bytes == nullptr : !TakeRequestId(middleware->policy, self->scope, &taken)) {
    taken.Clear();
    ReportFault("request id");
    return;
  }
  PyObject* header = HeaderPair(middleware->policy.header_name, taken.bytes);
  if (header != nullptr) self->exchange = MakeExchange(self->middleware, self->send, Py_NewRef(taken.text), header);
  if (self->exchange == nullptr) {
    ReportFault("request id");
  } else {
    if (is_inner) {
      self->traceparent = CurrentTraceparent();
    } else {
      Announce(self, state, taken);
    }
    if (middleware->recorder != nullptr) StartRecording(self, taken.rejected);
  }
  taken.Clear();
}

// ValueError: this step runs in another context than the first one did, and there is nothing to put back in it.
void ResetVariable(PyObject* variable, PyObject** token) noexcept {
  if (*token == nullptr) return;
  if (PyContextVar_Reset(variable, *token) < 0) PyErr_Clear();
  Py_CLEAR(*token);
}

void ResetContext(Call* self) noexcept {
  ResetVariable(RequestIdVar(), &self->token);
  ResetVariable(TraceparentVar(), &self->trace_token);
}

// While it lives, the context has the id and the traceparent of the request that ends. It may have others: those that
// the application has set, and those of whatever runs while the request is dropped, or takes its last step.
class OwnContext {
 public:
  explicit OwnContext(const Call* call) noexcept : exchange_(call->exchange), found_id_(CurrentRequestId()) {
    if (found_id_ == exchange_->id) return;
    exchange_->found_id = found_id_;
    token_ = PyContextVar_Set(RequestIdVar(), exchange_->id);
    trace_token_ = PyContextVar_Set(TraceparentVar(), call->traceparent == nullptr ? Py_None : call->traceparent);
    if (token_ == nullptr || trace_token_ == nullptr) ReportFault("context variable");
  }
  ~OwnContext() {
    ResetVariable(TraceparentVar(), &trace_token_);
    ResetVariable(RequestIdVar(), &token_);
    exchange_->found_id = nullptr;
    Py_XDECREF(found_id_);
  }
  OwnContext(const OwnContext&) = delete;
  OwnContext& operator=(const OwnContext&) = delete;

 private:
  Exchange* exchange_;
  PyObject* found_id_;
  PyObject* token_ = nullptr;
  PyObject* trace_token_ = nullptr;
};

void Record(Call* self, PyObject* raised) noexcept {
  const OwnContext context(self);
  RecordRequest(self->middleware->recorder, self->exchange, {.scope = self->scope, .root_path = self->root_path},
                raised);
}

// After the last step. Keeps the current Python error, if any: it is what the application raised.
void Finish(Call* self) noexcept {
  self->stage = Stage::kFinished;
  Py_CLEAR(self->iterator);
  if (self->middleware->recorder == nullptr && PyErr_Occurred() == nullptr) {
    ResetContext(self);
  } else if (self->exchange != nullptr) {
    HeldError raised;
    if (self->middleware->recorder != nullptr) {
      Record(self, raised.exception());
      RemoveFromRunning(self);
    }
    ResetContext(self);
    raised.Restore();
  }
  Py_CLEAR(self->exchange);
  Py_CLEAR(self->scope);
  Py_CLEAR(self->receive);
  Py_CLEAR(self->send);
  Py_CLEAR(self->traceparent);
  Py_CLEAR(self->root_path);
}

// The same for a request that ends by close(), or is dropped half-way. To the application that was a GeneratorExit.
void FinishClosed(Call* self) noexcept {
  HeldError current;
  Py_CLEAR(self->iterator);
  PyErr_SetNone(PyExc_GeneratorExit);
  Finish(self);
  PyErr_Clear();
  current.Restore();
}

// The first step: calls the application and gets hold of its awaitable.
bool Begin(Call* self) {
  OpenExchange(self);
  PyObject* send = self->exchange == nullptr ? self->send : reinterpret_cast<PyObject*>(self->exchange);
  PyObject* stack[4] = {nullptr, self->scope, self->receive, send};
  PyObject* awaitable =
      PyObject_Vectorcall(self->middleware->app, stack + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  if (awaitable == nullptr) return false;
  self->iterator = AwaitableIterator(awaitable);
  Py_DECREF(awaitable);
  return self->iterator != nullptr;
}

void NoteSuspension(const Call* self) noexcept {
  if (self->exchange == nullptr || !self->exchange->is_watched) return;
  RecordSuspension(self->middleware->recorder, self->exchange, {.scope = self->scope, .root_path = self->root_path});
}

// False, with the error that a coroutine raises, when this one cannot be stepped.
bool CheckSteppable(const Call* self) {
  if (self->stage == Stage::kRunning) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return false;
  }
  if (self->stage == Stage::kFinished) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    return false;
  }
  return true;
}

PySendResult Step(PyObject* object, PyObject* value, PyObject** result) {
  Call* self = AsCall(object);
  *result = nullptr;
  if (!CheckSteppable(self)) return PYGEN_ERROR;
  const bool first = self->stage == Stage::kCreated;
  if (first && value != Py_None) {
    PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
    return PYGEN_ERROR;
  }
  self->stage = Stage::kRunning;
  if (first && !Begin(self)) {
    Finish(self);
    return PYGEN_ERROR;
  }
  const PySendResult outcome = PyIter_Send(self->iterator, value, result);
  if (outcome == PYGEN_NEXT) {
    self->stage = Stage::kSuspended;
    NoteSuspension(self);
  } else {
    Finish(self);
  }
  return outcome;
}

PyObject* Next(PyObject* object) {
  PyObject* result = nullptr;
  if (Step(object, Py_None, &result) == PYGEN_RETURN) {
    RaiseStopIteration(result);
    return nullptr;
  }
  return result;
}

PyObject* SendMethod(PyObject* object, PyObject* value) {
  PyObject* result = nullptr;
  if (Step(object, value, &result) == PYGEN_RETURN) {
    RaiseStopIteration(result);
    return nullptr;
  }
  return result;
}

PyObject* ThrowMethod(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  Call* self = AsCall(object);
  if (count < 1 || count > 3) {
    PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", count);
    return nullptr;
  }
  if (!CheckSteppable(self)) return nullptr;
  if (self->stage == Stage::kCreated) {
    Finish(self);
    RaiseThrown(args, count);
    return nullptr;
  }
  self->stage = Stage::kRunning;
  PyObject* yielded = ThrowInto(self->iterator, args, count);
  if (yielded != nullptr) {
    self->stage = Stage::kSuspended;
    return yielded;
  }
  if (PyObject* returned = TakeStopIteration()) {
    Finish(self);
    RaiseStopIteration(returned);
  } else {
    Finish(self);
  }
  return nullptr;
}

PyObject* CloseMethod(PyObject* object, PyObject*) {
  Call* self = AsCall(object);
  if (self->stage == Stage::kFinished) Py_RETURN_NONE;
  if (!CheckSteppable(self)) return nullptr;
  if (self->stage == Stage::kCreated) {
    Finish(self);
    Py_RETURN_NONE;
  }
  self->stage = Stage::kRunning;
  PyObject* closed = PyObject_CallMethodNoArgs(self->iterator, Names().close);
  if (closed == nullptr && PyErr_ExceptionMatches(PyExc_AttributeError)) {
    PyErr_Clear();
    closed = Py_NewRef(Py_None);
  }
  if (closed == nullptr) {
    Finish(self);
    return nullptr;
  }
  Py_DECREF(closed);
  FinishClosed(self);
  Py_RETURN_NONE;
}

PyObject* AwaitSelf(PyObject* object) { return Py_NewRef(object); }

int Traverse(PyObject* object, visitproc visit, void* arg) {
  Call* self = AsCall(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->middleware);
  Py_VISIT(self->scope);
  Py_VISIT(self->receive);
  Py_VISIT(self->send);
  Py_VISIT(self->exchange);
  Py_VISIT(self->iterator);
  Py_VISIT(self->token);
  Py_VISIT(self->trace_token);
  return 0;
}

// A request that only a cycle still holds is closed before the collector takes the cycle apart, as a coroutine is.
void Finalize(PyObject* object) {
  Call* self = AsCall(object);
  if (self->stage == Stage::kSuspended) FinishClosed(self);
}

int Clear(PyObject* object) {
  Call* self = AsCall(object);
  self->stage = Stage::kFinished;
  RemoveFromRunning(self);
  Py_CLEAR(self->iterator);
  Py_CLEAR(self->exchange);
  Py_CLEAR(self->scope);
  Py_CLEAR(self->receive);
  Py_CLEAR(self->send);
  Py_CLEAR(self->token);
  Py_CLEAR(self->trace_token);
  Py_CLEAR(self->traceparent);
  Py_CLEAR(self->root_path);
  return 0;
}

void Dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  Call* self = AsCall(object);
  if (self->stage != Stage::kFinished) {  // which has released everything
    Finalize(object);
    Clear(object);
  }
  Py_CLEAR(self->middleware);
  free_calls.Give(self);
}

}  // namespace

PyObject* MakeCall(Middleware* middleware, PyObject* scope, PyObject* receive, PyObject* send) {
  Call* self = free_calls.Take(call_type);
  if (self == nullptr) return nullptr;
  Py_INCREF(middleware);
  self->middleware = middleware;
  self->scope = Py_NewRef(scope);
  self->receive = Py_NewRef(receive);
  self->send = Py_NewRef(send);
  self->exchange = nullptr;
  self->iterator = nullptr;
  self->token = nullptr;
  self->trace_token = nullptr;
  self->traceparent = nullptr;
  self->root_path = nullptr;
  self->link_to_this = nullptr;
  self->stage = Stage::kCreated;
  PyObject_GC_Track(self);
  return reinterpret_cast<PyObject*>(self);
}

PyObject* CountCapturedError(const char* error_type) {
  PyObject* id = CurrentRequestId();
  const Call* call = id == nullptr ? nullptr : RunningCallOf(id);
  Py_XDECREF(id);
  if (call == nullptr) Py_RETURN_NONE;
  return RecordCaptured(call->middleware->recorder, call->exchange,
                        {.scope = call->scope, .root_path = call->root_path}, error_type);
}

bool InitCallType() {
  if (call_type != nullptr) return true;
  static PyMethodDef methods[] = {
      {"send", SendMethod, METH_O, "Step the request with a value."},
      {"throw", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(ThrowMethod)), METH_FASTCALL,
       "Raise an exception inside the request."},
      {"close", CloseMethod, METH_NOARGS, "Raise GeneratorExit inside the request."},
      {nullptr, nullptr, 0, nullptr},
  };
  static PyType_Slot slots[] = {
      {Py_am_await, reinterpret_cast<void*>(AwaitSelf)},
      {Py_am_send, reinterpret_cast<void*>(Step)},
      {Py_tp_iternext, reinterpret_cast<void*>(Next)},
      {Py_tp_methods, methods},
      {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(Clear)},
      {Py_tp_finalize, reinterpret_cast<void*>(Finalize)},
      {Py_tp_dealloc, reinterpret_cast<void*>(Dealloc)},
      {0, nullptr},
  };
  static PyType_Spec spec = {"reqtrail._native.Call", sizeof(Call), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  call_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return call_type != nullptr;
}

}  // namespace reqtrail
