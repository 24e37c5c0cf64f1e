#include "pyext/middleware_options.h"

#include <string>
#include <string_view>

#include "pyext/request_recorder.h"

namespace reqtrail {
namespace {

constexpr const char* kDefaultLogger = "reqtrail.request";

// The text of `option`, which owns it; one that is not Unicode is as good as none. False with TypeError set.
bool ReadHeaderName(PyObject* option, std::string_view* name) {
  if (PyUnicode_Check(option) == 0) {
    PyErr_Format(PyExc_TypeError, "header_name must be a str, such as \"X-Request-ID\", not %.100s",
                 Py_TYPE(option)->tp_name);
    return false;
  }
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(option, &size);
  if (text == nullptr) PyErr_Clear();
  *name = text == nullptr ? std::string_view() : std::string_view(text, static_cast<std::size_t>(size));
  return true;
}

PyObject* Bytes(std::string_view text) {
  return PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

// A header name is a token (RFC 9110): anything else would let a configuration split the response.
PyObject* HeaderNameBytes(std::string_view name) {
  constexpr const char* kTokenBytes = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
  std::string lower(name);
  for (char& byte : lower) {
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte + ('a' - 'A'));
  }
  if (lower.empty() || lower.find_first_not_of(kTokenBytes) != std::string::npos) {
    PyErr_SetString(
        PyExc_ValueError,
        "header_name must be the name of an HTTP header, such as \"X-Request-ID\": letters, digits and - only");
    return nullptr;
  }
  return Bytes(lower);
}

bool IsAsync(PyObject* callable) noexcept {
  PyObject* function = PyMethod_Check(callable) ? PyMethod_GET_FUNCTION(callable) : callable;
  if (!PyFunction_Check(function)) return false;
  const auto* code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
  return (code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR | CO_GENERATOR)) != 0;
}

// Turns None into nullptr. False with TypeError set.
bool CheckCallable(PyObject** option, const char* name, const char* signature) {
  if (*option == Py_None) {
    *option = nullptr;
    return true;
  }
  if (PyCallable_Check(*option) == 0) {
    PyErr_Format(PyExc_TypeError, "%s must be a callable %s or None, not %.100s", name, signature,
                 Py_TYPE(*option)->tp_name);
    return false;
  }
  if (IsAsync(*option)) {
    PyErr_Format(PyExc_TypeError, "%s must be a callable %s that is not async, and no generator", name, signature);
    return false;
  }
  return true;
}

bool CheckBool(PyObject* option, const char* name) {
  if (PyBool_Check(option)) return true;
  PyErr_Format(PyExc_TypeError, "%s must be a bool: True or False, not %.100s", name, Py_TYPE(option)->tp_name);
  return false;
}

// Whether `option` says so; None leaves it to REQTRAIL_ENABLED. Negative with an error set.
int IsEnabled(PyObject* option) {
  if (option != Py_None) return CheckBool(option, "enabled") ? static_cast<int>(option == Py_True) : -1;
  PyObject* module = PyImport_ImportModule("reqtrail._enabled");
  PyObject* says = module == nullptr ? nullptr : PyObject_CallMethod(module, "enabled", nullptr);
  const int is_enabled = says == nullptr ? -1 : PyObject_IsTrue(says);
  Py_XDECREF(says);
  Py_XDECREF(module);
  return is_enabled;
}

bool CheckTrust(PyObject* option) {
  if (PyBool_Check(option) || (PyCallable_Check(option) != 0 && !IsAsync(option))) return true;
  PyErr_Format(PyExc_TypeError,
               "trust_incoming must be a bool or a callable (scope) -> bool that is not async, not %.100s",
               Py_TYPE(option)->tp_name);
  return false;
}

// A new reference to the logger that is meant: None is the default one, a str is its name. nullptr with an error.
PyObject* LoggerOf(PyObject* option) {
  PyObject* logging = PyImport_ImportModule("logging");
  if (logging == nullptr) return nullptr;
  PyObject* logger = nullptr;
  if (option == Py_None || PyUnicode_Check(option)) {
    logger = option == Py_None ? PyObject_CallMethod(logging, "getLogger", "s", kDefaultLogger)
                               : PyObject_CallMethod(logging, "getLogger", "O", option);
  } else {
    PyObject* type = PyObject_GetAttrString(logging, "Logger");
    const int is_logger = type == nullptr ? -1 : PyObject_IsInstance(option, type);
    Py_XDECREF(type);
    if (is_logger == 1) logger = Py_NewRef(option);
    if (is_logger == 0) {
      PyErr_Format(PyExc_TypeError, "logger must be a logging.Logger, the name of one or None, not %.100s",
                   Py_TYPE(option)->tp_name);
    }
  }
  Py_DECREF(logging);
  return logger;
}

}  // namespace

MiddlewareOptions::~MiddlewareOptions() {
  Py_XDECREF(header_name);
  Py_XDECREF(exposed_header);
  Py_XDECREF(logger);
}

bool MiddlewareOptions::Parse(PyObject* args, PyObject* kwargs) {
  static const char* keywords[] = {"app",         "header_name",    "update_request_header", "generator", "validator",
                                   "transformer", "trust_incoming", "expose_cors",           "logger",    "enabled",
                                   "_recorder",   nullptr};
  PyObject* name_option = nullptr;
  PyObject* update = Py_True;
  PyObject* expose = Py_False;
  PyObject* logger_option = Py_None;
  PyObject* enabled = Py_None;
  generator = validator = transformer = recorder = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O$OOOOOOOOO:CorrelationIDMiddleware", const_cast<char**>(keywords),
                                   &app, &name_option, &update, &generator, &validator, &transformer, &trust_incoming,
                                   &expose, &logger_option, &enabled, &recorder)) {
    return false;
  }
  if (PyCallable_Check(app) == 0) {
    PyErr_Format(PyExc_TypeError, "app must be an ASGI application: a callable (scope, receive, send), not %.100s",
                 Py_TYPE(app)->tp_name);
    return false;
  }
  if (recorder != Py_None && !PyObject_TypeCheck(recorder, RecorderType())) {
    PyErr_SetString(PyExc_TypeError, "_recorder must be a Recorder or None");
    return false;
  }
  if (recorder == Py_None) recorder = nullptr;
  if (!CheckBool(update, "update_request_header") || !CheckBool(expose, "expose_cors") ||
      !CheckCallable(&generator, "generator", "() -> str") ||
      !CheckCallable(&validator, "validator", "(id: str) -> bool") ||
      !CheckCallable(&transformer, "transformer", "(id: str) -> str") || !CheckTrust(trust_incoming)) {
    return false;
  }
  const int says = IsEnabled(enabled);
  if (says < 0) return false;
  is_enabled = says != 0;
  update_request_header = update == Py_True;
  std::string_view name = "X-Request-ID";
  if (name_option != nullptr && !ReadHeaderName(name_option, &name)) return false;
  header_name = HeaderNameBytes(name);
  if (header_name == nullptr) return false;
  if (expose == Py_True) {
    exposed_header = Bytes(name);
    if (exposed_header == nullptr) return false;
  }
  logger = LoggerOf(logger_option);
  return logger != nullptr;
}

}  // namespace reqtrail
