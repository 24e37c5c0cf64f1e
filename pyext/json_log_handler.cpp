#include "pyext/json_log_handler.h"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "log_sinks/dropped_lines.h"
#include "log_sinks/line_sink.h"
#include "pyext/ended_thread.h"
#include "pyext/json_log_formatter.h"
#include "pyext/json_value.h"
#include "pyext/log_line.h"
#include "pyext/log_sampling.h"
#include "pyext/log_sink_bindings.h"
#include "pyext/new_reference.h"
#include "pyext/record_attributes.h"
#include "pyext/seen_type.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

PyObject* name_of_filters = nullptr;
PyObject* name_of_filter = nullptr;
PyObject* name_of_format = nullptr;

PyTypeObject* handler_type = nullptr;
/// The methods of handler_type by which a record comes in, as its subclasses inherit them.
std::array<std::pair<PyObject*, PyObject*>, 2> entrances;
PyObject* plain_filter = nullptr;  ///< logging.Filterer.filter

struct Connection {
  std::shared_ptr<LineSink> sink;
  py::object formatter = py::none();
  LineFormat* format = nullptr;  ///< of `formatter`, when that is a compiled one
  std::shared_ptr<AccessSampling> sampling;
  TextBuffer spare;  ///< memory of the last line, for the next one
};

struct Handler {
  PyObject_HEAD Connection* connection;
};

enum class Outcome : unsigned char { kLine, kNothing, kRaised };

Handler* AsHandler(PyObject* object) noexcept { return reinterpret_cast<Handler*>(object); }

/// The record that the handler's filters leave: `record`, another one, or none. Empty with a Python error set.
py::object Filtered(PyObject* self, PyObject* record) {
  const py::object filters = Steal(PyObject_GetAttr(self, name_of_filters));
  if (!filters) return {};
  if (PyList_Check(filters.ptr()) && PyList_GET_SIZE(filters.ptr()) == 0) {
    return py::reinterpret_borrow<py::object>(record);
  }
  py::object verdict = Steal(PyObject_CallMethodOneArg(self, name_of_filter, record));
  if (!verdict) return {};
  const int passes = PyObject_IsTrue(verdict.ptr());
  if (passes < 0) return {};
  if (passes == 0) return py::none();
  return PyBool_Check(verdict.ptr()) ? py::reinterpret_borrow<py::object>(record) : verdict;
}

bool AppendOfOtherFormatter(TextBuffer& text, PyObject* formatter, PyObject* record) {
  const py::object formatted = Steal(PyObject_CallMethodOneArg(formatter, name_of_format, record));
  const py::object bytes =
      formatted ? Steal(PyUnicode_AsEncodedString(formatted.ptr(), "utf-8", "replace")) : py::object();
  if (!bytes) return false;
  text.Append({PyBytes_AS_STRING(bytes.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()))});
  return true;
}

/// Appends the record's line to `text`. kRaised with a Python error set. Everything of Python that is held is given
/// back before it returns, because the thread may not come back from the next wait for the GIL.
Outcome Format(const Connection& connection, PyObject* record, TextBuffer& text) {
  if (const std::shared_ptr<AccessSampling> sampling = connection.sampling) {
    const py::object attributes = Steal(PyObject_GenericGetDict(record, nullptr));
    if (!attributes) return Outcome::kRaised;
    if (!sampling->Passes(attributes.ptr())) return Outcome::kNothing;
  }
  const py::object formatter = connection.formatter;
  const bool formatted = connection.format != nullptr ? AppendLogLine(text, *connection.format, formatter.ptr(), record)
                                                      : AppendOfOtherFormatter(text, formatter.ptr(), record);
  if (!formatted) return Outcome::kRaised;
  text.Append('\n');
  return Outcome::kLine;
}

bool PassesSampling(const Connection& connection, const RecordAttributes& access_line) {
  const std::shared_ptr<AccessSampling> sampling = connection.sampling;
  return sampling == nullptr || sampling->PassesLine(access_line[kStatusCode].ptr(), access_line[kEndpoint].ptr());
}

Outcome FormatAttributes(const Connection& connection, const RecordAttributes& attributes, TextBuffer& text) {
  const py::object formatter = connection.formatter;  // owns the format
  // Without one, a finalizer has set another formatter since TakesAttributes.
  if (connection.format == nullptr || !AppendLogLineOf(text, *connection.format, attributes)) return Outcome::kRaised;
  text.Append('\n');
  return Outcome::kLine;
}

Outcome FilterAndFormat(PyObject* self, PyObject* record, TextBuffer& text) {
  const py::object filtered = Filtered(self, record);
  if (!filtered) return Outcome::kRaised;
  if (filtered.is_none()) return Outcome::kNothing;
  return Format(*AsHandler(self)->connection, filtered.ptr(), text);
}

/// False when a signal handler raised. The GIL is not held while it writes, nor while it waits for another thread that
/// writes.
bool Write(std::shared_ptr<LineSink> sink, std::string_view line) {
  if (sink == nullptr) {
    CountDropped(DropReason::kExit);
    return true;
  }
  for (;;) {
    PyThreadState* state = PyEval_SaveThread();
    const DropReason reason = sink->Write(line);
    CountDropped(reason);
    if (reason != DropReason::kInterrupted) sink.reset();
    RestoreThread(state);
    if (reason != DropReason::kInterrupted) return true;
    if (PyErr_CheckSignals() < 0) return false;
  }
}

/// What `format` leaves to be written. Null with what is no `Exception` set.
template <typename FormatFunction>
PyObject* WriteLine(PyObject* self, FormatFunction format) {
  Connection& connection = *AsHandler(self)->connection;
  Outcome outcome = Outcome::kRaised;
  try {
    TextBuffer text = std::move(connection.spare);
    text.Truncate(0);
    outcome = format(text);
    // What a signal handler raises is not ours to keep.
    if (outcome == Outcome::kLine && !Write(connection.sink, text.view())) return nullptr;
    constexpr std::size_t kMaxSpareBytes = std::size_t{64} << 10U;
    if (text.capacity() <= kMaxSpareBytes) connection.spare = std::move(text);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  if (outcome == Outcome::kRaised) {
    if (!ForgetException()) return nullptr;
    CountDropped(DropReason::kError);
  }
  ReportDroppedLines();
  return PyBool_FromLong(outcome == Outcome::kLine);
}

PyObject* Handle(PyObject* self, PyObject* record) {
  return WriteLine(self, [&](TextBuffer& text) { return FilterAndFormat(self, record, text); });
}

PyObject* Emit(PyObject* self, PyObject* record) {
  PyObject* written =
      WriteLine(self, [&](TextBuffer& text) { return Format(*AsHandler(self)->connection, record, text); });
  if (written == nullptr) return nullptr;
  Py_DECREF(written);
  Py_RETURN_NONE;
}

PyObject* Connect(PyObject* self, PyObject* args) {
  PyObject* sink = nullptr;
  PyObject* formatter = nullptr;
  PyObject* rates = nullptr;
  if (PyArg_ParseTuple(args, "OOO:connect", &sink, &formatter, &rates) == 0) return nullptr;
  try {
    std::shared_ptr<LineSink> to;
    if (sink != Py_None) {
      to = LogSinkOf(sink);
      if (to == nullptr) return nullptr;
    }
    std::shared_ptr<AccessSampling> sampling;
    if (rates != Py_None && PyDict_Check(rates) == 0) throw py::cast_error();
    if (rates != Py_None) sampling = std::make_shared<AccessSampling>(py::reinterpret_borrow<py::dict>(rates));
    Connection& connection = *AsHandler(self)->connection;
    std::swap(connection.sink, to);
    std::swap(connection.sampling, sampling);
    connection.format = CompiledFormatOf(formatter);
    // Last, and moved out first: what is let go of may be the last reference, and run any code.
    const py::object former = std::exchange(connection.formatter, py::reinterpret_borrow<py::object>(formatter));
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  } catch (const py::cast_error&) {
    PyErr_SetString(PyExc_TypeError, "rates are {endpoint: (rate, callable)}");
    return nullptr;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* New(PyTypeObject* type, PyObject* /*args*/, PyObject* /*kwargs*/) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  AsHandler(self)->connection = new (std::nothrow) Connection;
  if (AsHandler(self)->connection != nullptr) return self;
  Py_DECREF(self);
  return PyErr_NoMemory();
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const Connection* connection = AsHandler(self)->connection;
  if (connection != nullptr) Py_VISIT(connection->formatter.ptr());
  return 0;
}

int Clear(PyObject* self) {
  Connection* connection = AsHandler(self)->connection;
  if (connection == nullptr) return 0;
  connection->format = nullptr;
  const py::object former = std::exchange(connection->formatter, py::none());
  return 0;
}

void Dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  delete AsHandler(self)->connection;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"handle", Handle, METH_O, "Write the record as one line if the filters let it pass; whether it was written."},
    {"emit", Emit, METH_O, "Write the record as one line."},
    {"connect", Connect, METH_VARARGS, "Set sink, formatter and sampling rates."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(New)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(Dealloc)},
                       {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(Clear)},
                       {Py_tp_methods, methods},
                       {0, nullptr}};

PyType_Spec spec = {.name = "reqtrail._native.RecordHandler",
                    .basicsize = sizeof(Handler),
                    .itemsize = 0,
                    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                    .slots = slots};

}  // namespace

PyObject* MakeRecordHandlerType() {
  name_of_filters = PyUnicode_InternFromString("filters");
  name_of_filter = PyUnicode_InternFromString("filter");
  name_of_format = PyUnicode_InternFromString("format");
  const bool ready = name_of_filters != nullptr && name_of_filter != nullptr && name_of_format != nullptr;
  PyObject* type = ready ? PyType_FromSpec(&spec) : nullptr;
  if (type == nullptr) return nullptr;
  handler_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type));
  const py::object logging = Steal(PyImport_ImportModule("logging"));
  const py::object filterer = logging ? Steal(PyObject_GetAttrString(logging.ptr(), "Filterer")) : py::object();
  plain_filter = filterer ? PyObject_GetAttr(filterer.ptr(), name_of_filter) : nullptr;
  if (plain_filter == nullptr) return nullptr;
  for (std::size_t i = 0; i < entrances.size(); ++i) {
    PyObject* name = PyUnicode_InternFromString(methods[i].ml_name);
    PyObject* method = name == nullptr ? nullptr : PyObject_GetAttr(type, name);
    if (method == nullptr) return nullptr;
    entrances[i] = {name, method};
  }
  return type;
}

bool TakesAttributes(PyObject* object) noexcept {
  static SeenType seen;
  PyTypeObject* type = Py_TYPE(object);
  if (seen.Is(type)) return AsHandler(object)->connection->format != nullptr;
  if (!PyObject_TypeCheck(object, handler_type) || AsHandler(object)->connection->format == nullptr) return false;
  const auto has = [&](PyObject* name, PyObject* method) {
    const py::object found = Steal(PyObject_GetAttr(reinterpret_cast<PyObject*>(type), name));
    PyErr_Clear();
    return found.ptr() == method;
  };
  const bool takes = has(name_of_filter, plain_filter) && std::ranges::all_of(entrances, [&](const auto& entrance) {
                       return has(entrance.first, entrance.second);
                     });
  if (takes) seen.Keep(type);
  return takes;
}

bool WriteLineOf(PyObject* handler, const RecordAttributes& attributes) {
  const Connection& connection = *AsHandler(handler)->connection;
  return Steal(WriteLine(handler, [&](TextBuffer& text) {
           return FormatAttributes(connection, attributes, text);
         })).ptr() != nullptr;
}

bool WriteAccessLine(PyObject* handler, const RecordAttributes& attributes) {
  const Connection& connection = *AsHandler(handler)->connection;
  return Steal(WriteLine(handler, [&](TextBuffer& text) {
           return PassesSampling(connection, attributes) ? FormatAttributes(connection, attributes, text)
                                                         : Outcome::kNothing;
         })).ptr() != nullptr;
}

}  // namespace reqtrail
