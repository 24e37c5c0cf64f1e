#include "pyext/record_attributes.h"

#include <cstdint>

namespace py = pybind11;

namespace reqtrail {
namespace {

/// In the order of RecordAttribute; then those that the logging module, formatters and servers add for their own use.
constexpr std::array<std::string_view, 36> kNames = {
    "name",        "msg",      "args",       "levelname",       "module",     "funcName",      "lineno",      "created",
    "exc_info",    "exc_text", "stack_info", "request_id",      "trace_id",   "origin",        "endpoint",    "method",
    "status_code", "duration", "task",       "task_id",         "error_type", "error_message", "user_id",     "levelno",
    "pathname",    "filename", "msecs",      "relativeCreated", "thread",     "threadName",    "processName", "process",
    "taskName",    "message",  "asctime",    "color_message"};

/// Finds a name's place in kNames, almost always by the address of the interned string alone.
class NameTable {
 public:
  static constexpr std::size_t kNotFound = kNames.size();

  bool Init() {
    by_text_ = PyDict_New();
    if (by_text_ == nullptr) return false;
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      PyObject* name = PyUnicode_FromStringAndSize(kNames[i].data(), static_cast<Py_ssize_t>(kNames[i].size()));
      if (name != nullptr) PyUnicode_InternInPlace(&name);
      PyObject* index = PyLong_FromSize_t(i);
      if (name == nullptr || index == nullptr || PyDict_SetItem(by_text_, name, index) < 0) return false;
      Py_DECREF(index);
      Insert(name, i);
    }
    return true;
  }

  [[nodiscard]] std::size_t Find(PyObject* key) const {
    for (std::size_t slot = Slot(key); slots_[slot].name != nullptr; slot = (slot + 1) % kSlots) {
      if (slots_[slot].name == key) return slots_[slot].index;
    }
    if (!PyUnicode_CheckExact(key)) return kNotFound;  // whose hash may be code of the application
    PyObject* index = PyDict_GetItemWithError(by_text_, key);
    if (index == nullptr) {
      PyErr_Clear();
      return kNotFound;
    }
    return PyLong_AsSize_t(index);
  }

 private:
  static constexpr std::size_t kSlots = 256;

  struct Entry {
    PyObject* name;
    std::size_t index;
  };

  static std::size_t Slot(PyObject* name) noexcept { return (reinterpret_cast<std::uintptr_t>(name) / 16) % kSlots; }

  void Insert(PyObject* name, std::size_t index) {
    std::size_t slot = Slot(name);
    while (slots_[slot].name != nullptr) slot = (slot + 1) % kSlots;
    slots_[slot] = {.name = name, .index = index};
  }

  std::array<Entry, kSlots> slots_{};
  PyObject* by_text_ = nullptr;
};

NameTable name_table;

}  // namespace

std::string_view NameOf(RecordAttribute attribute) noexcept { return kNames[attribute]; }

RecordAttributes::RecordAttributes(PyObject* dict) {
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t position = 0;
  while (PyDict_Next(dict, &position, &key, &value) != 0) {
    const std::size_t index = name_table.Find(key);
    if (index < values_.size()) {
      if (value != Py_None) values_[index] = py::reinterpret_borrow<py::object>(value);
    } else if (index == NameTable::kNotFound) {
      extras_.emplace_back(py::reinterpret_borrow<py::object>(key), py::reinterpret_borrow<py::object>(value));
    }
  }
}

bool InitRecordAttributes() { return name_table.Init(); }

}  // namespace reqtrail
