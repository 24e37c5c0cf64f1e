#include "worker_hooks/task_traceparent.h"

#include <array>
#include <optional>
#include <string_view>

#include "core/traceparent.h"
#include "worker_hooks/context_value.h"
#include "worker_hooks/task_names.h"

namespace reqtrail {
namespace {

PyObject* traceparent_var = nullptr;

Owned Str(std::string_view text) noexcept {
  return Owned(PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
}

/// The traceparent that `value` is, itself or as one of version 00; none, without an error, if it is none.
Owned TraceparentOf(PyObject* value) noexcept {
  const std::string_view text = TextOf(value);
  const std::optional<Traceparent> trace = ParseTraceparent(text);
  if (!trace) return Owned();
  if (trace->version == 0) return Owned(Py_NewRef(value));
  const std::array<char, kTraceparentBytes> known = AsVersion0(*trace);
  Owned made = Str({known.data(), known.size()});
  if (!made) PyErr_Clear();
  return made;
}

}  // namespace

void InitTaskTraceparent(PyObject* trace_var) noexcept { traceparent_var = trace_var; }

bool InjectTraceparent(PyObject* headers) {
  PyObject* present = ItemOf(headers, TaskName().traceparent);
  Owned traceparent = TraceparentOf(present);
  if (!traceparent) traceparent = TraceparentOf(ValueOf(traceparent_var).get());
  if (!traceparent) return present == nullptr || PyDict_DelItem(headers, TaskName().traceparent) == 0;
  return traceparent.get() == present || PyDict_SetItem(headers, TaskName().traceparent, traceparent.get()) == 0;
}

Owned TraceIdOf(PyObject* traceparent) noexcept {
  const std::optional<Traceparent> trace = ParseTraceparent(TextOf(traceparent));
  Owned id = trace ? Str(trace->trace_id) : Owned();
  if (trace && !id) PyErr_Clear();
  return id;
}

Owned EnterTrace(const TaskRequest& request) noexcept {
  const Owned traceparent = TraceparentOf(request.Header(TaskName().traceparent));
  const Owned current = traceparent ? Owned() : ValueOf(traceparent_var);
  if (!traceparent && !current) return Owned(Py_NewRef(Py_None));
  return Owned(PyContextVar_Set(traceparent_var, traceparent ? traceparent.get() : Py_None));
}

bool LeaveTrace(PyObject* entered) noexcept {
  return entered == Py_None || PyContextVar_Reset(traceparent_var, entered) == 0;
}

}  // namespace reqtrail
