#include "pyext/log_sink_bindings.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "log_sinks/async_sink.h"
#include "log_sinks/descriptor_sink.h"
#include "log_sinks/dropped_lines.h"
#include "log_sinks/file_sink.h"
#include "log_sinks/fork_safe_lock.h"
#include "pyext/log_sampling.h"

namespace py = pybind11;

namespace reqtrail {
namespace {

PyObject* drop_handler = nullptr;

/// What the handler was told so far, in the process of this generation.
struct Reported {
  DroppedLines lines{};
  std::uint64_t in_all = 0;
  std::uint32_t generation = 0;
};

Reported reported;

std::shared_ptr<LineSink> MakeFileSink(const std::string& path, std::uint64_t max_bytes, std::uint32_t backups) {
  auto sink = std::make_shared<FileSink>(FileSinkOptions{.path = path, .max_bytes = max_bytes, .backups = backups});
  int error = 0;
  {
    const py::gil_scoped_release release;
    error = sink->Open();
  }
  if (error == 0) return sink;
  errno = error;
  PyErr_SetFromErrnoWithFilename(PyExc_OSError, path.c_str());
  throw py::error_already_set();
}

std::shared_ptr<LineSink> MakeAsyncSink(std::shared_ptr<LineSink> inner, std::size_t capacity,
                                        const std::string& overflow) {
  constexpr std::array<std::pair<const char*, Overflow>, 3> kNames = {
      {{"drop_oldest", Overflow::kDropOldest}, {"drop_newest", Overflow::kDropNewest}, {"block", Overflow::kBlock}}};
  for (const auto& [name, value] : kNames) {
    if (overflow == name) return std::make_shared<AsyncSink>(std::move(inner), capacity, value);
  }
  throw py::value_error("overflow is 'drop_oldest', 'drop_newest' or 'block', not '" + overflow + "'");
}

bool Drain(LineSink& sink, double seconds) {
  const py::gil_scoped_release release;
  return sink.Drain(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
}

py::dict DroppedByReason() {
  const DroppedLines dropped = DroppedSoFar();
  py::dict by_reason;
  for (std::size_t i = 1; i < dropped.size(); ++i) {
    by_reason[py::str(kDropReasonNames.at(i).data(), kDropReasonNames.at(i).size())] = dropped.at(i);
  }
  return by_reason;
}

}  // namespace

std::shared_ptr<LineSink> LogSinkOf(PyObject* object) {
  if (py::isinstance<LineSink>(object)) return py::handle(object).cast<std::shared_ptr<LineSink>>();
  PyErr_Format(PyExc_TypeError, "a LogSink is needed, not %.100s", Py_TYPE(object)->tp_name);
  return nullptr;
}

void ReportDroppedLines() {
  const std::uint64_t in_all = DroppedInAll();
  if (in_all == reported.in_all && ForkGeneration() == reported.generation) return;
  if (ForkGeneration() != reported.generation) reported = {.generation = ForkGeneration()};
  const DroppedLines now = DroppedSoFar();
  const DroppedLines before = std::exchange(reported.lines, now);
  reported.in_all = in_all;
  if (drop_handler == nullptr) return;
  for (std::size_t i = 1; i < now.size(); ++i) {
    if (now.at(i) == before.at(i)) continue;
    const unsigned long long lines = now.at(i) - before.at(i);
    const std::string_view reason = kDropReasonNames.at(i);
    PyObject* result = PyObject_CallFunction(
        drop_handler, "NK", PyUnicode_FromStringAndSize(reason.data(), static_cast<Py_ssize_t>(reason.size())), lines);
    if (result == nullptr) PyErr_Clear();  // there is nobody left to tell
    Py_XDECREF(result);
  }
}

void BindLogSinks(py::module_& module) {
  py::class_<LineSink, std::shared_ptr<LineSink>>(module, "LogSink")
      .def("drain", &Drain, py::arg("seconds"))
      .def("abandon", &LineSink::Abandon);
  module.def("descriptor_sink", [](int descriptor, bool owned) -> std::shared_ptr<LineSink> {
    using enum DescriptorSink::Ownership;
    return std::make_shared<DescriptorSink>(descriptor, owned ? kOwned : kBorrowed);
  });
  py::class_<AccessSampling>(module, "AccessSampling")
      .def(py::init<const py::dict&>())
      .def("passes", [](AccessSampling& sampling, const py::object& record) {
        const py::dict attributes = record.attr("__dict__");
        return sampling.Passes(attributes.ptr());
      });
  module.def("file_sink", &MakeFileSink);
  module.def("async_sink", &MakeAsyncSink);
  module.def("dropped_log_lines", &DroppedByReason);
  module.def("set_drop_handler", [](const py::object& handler) {
    Py_XSETREF(drop_handler, Py_NewRef(handler.ptr()));
    ReportDroppedLines();
  });
}

}  // namespace reqtrail
