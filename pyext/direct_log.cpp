#include "pyext/direct_log.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <initializer_list>
#include <utility>

#include "pyext/json_log_handler.h"
#include "pyext/new_reference.h"
#include "pyext/seen_type.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

constexpr long kInfo = 20;

/// What is asked of loggers and handlers. Made once, for the process.
struct LoggingNames {
  PyObject* module_dict = nullptr;  ///< of logging
  PyObject* record_factory = nullptr;
  PyObject* record_type = nullptr;
  PyObject* info = nullptr;  ///< logging.INFO
  PyObject* disabled = nullptr;
  PyObject* filters = nullptr;
  PyObject* handlers = nullptr;
  PyObject* level = nullptr;
  PyObject* parent = nullptr;
  PyObject* propagate = nullptr;
  PyObject* handle = nullptr;
  PyObject* filter = nullptr;
  PyObject* level_names = nullptr;
  /// The methods of a logger that a record passes on its way to the handlers. Tools that watch a process replace them.
  std::array<PyObject*, 5> steps{};
};

LoggingNames names;

py::object Borrow(PyObject* object) { return py::reinterpret_borrow<py::object>(object); }

/// What an object has in its own `__dict__`. Attributes that its class makes are not there.
class Attributes {
 public:
  explicit Attributes(PyObject* object) : dict_(Steal(PyObject_GenericGetDict(object, nullptr))) {
    if (!dict_) PyErr_Clear();
  }

  /// Borrowed, or nullptr.
  PyObject* operator[](PyObject* name) const noexcept {
    return dict_ ? PyDict_GetItemWithError(dict_.ptr(), name) : nullptr;
  }

 private:
  py::object dict_;
};

bool IsEmptyList(PyObject* list) { return list != nullptr && PyList_Check(list) && PyList_GET_SIZE(list) == 0; }

/// Whether the steps of such a logger are logging's own.
bool HasOwnSteps(PyTypeObject* type) {
  static SeenType seen;
  if (seen.Is(type)) return true;
  for (PyObject* step : names.steps) {
    const py::object method = Steal(PyObject_GetAttr(reinterpret_cast<PyObject*>(type), step));
    PyErr_Clear();
    if (!method || !PyFunction_Check(method.ptr())) return false;
    if (PyFunction_GET_GLOBALS(method.ptr()) != names.module_dict) return false;
  }
  seen.Keep(type);
  return true;
}

/// Whether a record of this logger is what logging alone makes of it, neither replaced nor looked at on its way.
bool IsPlain(PyObject* logger, const Attributes& attributes) {
  if (PyDict_GetItemWithError(names.module_dict, names.record_factory) != names.record_type) return false;
  if (!HasOwnSteps(Py_TYPE(logger))) return false;
  if (std::ranges::any_of(names.steps, [&](PyObject* step) { return attributes[step] != nullptr; })) return false;
  return attributes[names.disabled] == Py_False && IsEmptyList(attributes[names.filters]);
}

/// Whether `handler` would write a record of level INFO just as it is.
bool WritesAll(PyObject* handler) {
  if (!TakesAttributes(handler)) return false;
  const Attributes attributes(handler);
  PyObject* level = attributes[names.level];
  if (level == nullptr || !PyLong_CheckExact(level)) return false;
  int overflow = 0;
  const long least = PyLong_AsLongAndOverflow(level, &overflow);
  return overflow == 0 && least <= kInfo && IsEmptyList(attributes[names.filters]) &&
         attributes[names.handle] == nullptr && attributes[names.filter] == nullptr;
}

/// What logging.INFO is called now.
py::object LevelName() {
  PyObject* level_names = PyDict_GetItemWithError(names.module_dict, names.level_names);
  PyObject* name =
      level_names == nullptr || !PyDict_Check(level_names) ? nullptr : PyDict_GetItemWithError(level_names, names.info);
  return name == nullptr ? py::str("INFO") : Borrow(name);
}

double SecondsSinceEpoch() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

DirectLog::DirectLog(PyObject* logger, PyObject* attributes) : logger_(Borrow(logger)), attributes_(attributes) {
  if (py::object levels = py::getattr(logger_, "_cache", py::none()); PyDict_Check(levels.ptr())) levels_ = levels;
}

PyObject* DirectLog::Enabled() const noexcept {
  return levels_ ? PyDict_GetItemWithError(levels_.ptr(), names.info) : nullptr;
}

bool DirectLog::IsOff() const noexcept { return Enabled() == Py_False; }

py::object DirectLog::OnlyHandler() const {
  if (Enabled() != Py_True) return {};
  py::object found;
  for (py::object logger = logger_; !logger.is_none();) {
    const Attributes attributes(logger.ptr());
    if (logger.is(logger_) && !IsPlain(logger.ptr(), attributes)) return {};
    PyObject* handlers = attributes[names.handlers];
    if (handlers == nullptr || !PyList_Check(handlers)) return {};
    const Py_ssize_t count = PyList_GET_SIZE(handlers);
    if (count > 1 || (count == 1 && found)) return {};
    if (count == 1) found = Borrow(PyList_GET_ITEM(handlers, 0));
    PyObject* propagate = attributes[names.propagate];
    if (propagate == Py_False) break;
    if (propagate != Py_True) return {};
    if (attributes[names.parent] == nullptr) return {};
    logger = Borrow(attributes[names.parent]);
  }
  return found && WritesAll(found.ptr()) ? found : py::object();
}

RecordAttributes DirectLog::AttributesNow() const {
  RecordAttributes attributes = attributes_;
  attributes.Set(kLevelname, LevelName());
  attributes.Set(kCreated, Steal(PyFloat_FromDouble(SecondsSinceEpoch())));
  return attributes;
}

int DirectLog::Traverse(visitproc visit, void* arg) const noexcept {
  for (const py::object* held : {&logger_, &levels_}) Py_VISIT(held->ptr());
  return 0;
}

bool InitDirectLog() {
  const py::object logging = Steal(PyImport_ImportModule("logging"));
  if (!logging) return false;
  names.module_dict = Py_NewRef(PyModule_GetDict(logging.ptr()));
  names.record_type = PyObject_GetAttrString(logging.ptr(), "LogRecord");
  names.info = PyLong_FromLong(kInfo);
  bool ready = names.record_type != nullptr && names.info != nullptr;
  const auto intern = [&](PyObject*& name, const char* text) {
    name = PyUnicode_InternFromString(text);
    ready = ready && name != nullptr;
  };
  intern(names.record_factory, "_logRecordFactory");
  intern(names.disabled, "disabled");
  intern(names.filters, "filters");
  intern(names.handlers, "handlers");
  intern(names.level, "level");
  intern(names.parent, "parent");
  intern(names.propagate, "propagate");
  intern(names.handle, "handle");
  intern(names.filter, "filter");
  intern(names.level_names, "_levelToName");
  names.steps = {names.handle, names.filter, nullptr, nullptr, nullptr};
  intern(names.steps[2], "isEnabledFor");
  intern(names.steps[3], "makeRecord");
  intern(names.steps[4], "callHandlers");
  return ready;
}

}  // namespace reqtrail
