// The module reqtrail._metrics_server, which alone needs civetweb: reqtrail works without it.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "metrics/http_server.h"
#include "metrics/service_processes.h"
#include "pyext/segment_object.h"

namespace py = pybind11;

namespace {

using reqtrail::HttpServer;

// A server, and what it shows.
class ServerObject {
 public:
  ServerObject(py::object segment, py::object processes, const std::string& address, std::uint16_t port)
      : segment_(std::move(segment)), processes_(std::move(processes)) {
    reqtrail::Segment* shown = reqtrail::SegmentOf(segment_.ptr());
    if (shown == nullptr) throw py::error_already_set();
    auto* with = processes_.is_none() ? nullptr : processes_.cast<reqtrail::ServiceProcesses*>();
    auto server = [&] {
      const py::gil_scoped_release released;  // it may wait for its thread
      return HttpServer::Start(*shown, with, {.address = address, .port = port});
    }();
    if (!server.ok()) {
      const reqtrail::MetricsError& error = server.error();
      PyObject* arguments = Py_BuildValue("is", error.os_error, error.message.c_str());
      PyErr_SetObject(PyExc_OSError, arguments);
      Py_XDECREF(arguments);
      throw py::error_already_set();
    }
    server_ = std::move(server).value();
    port_ = server_->port();
  }
  ServerObject(const ServerObject&) = delete;
  ServerObject& operator=(const ServerObject&) = delete;
  ~ServerObject() { Stop(); }

  void Stop() noexcept {
    std::unique_ptr<HttpServer> stopped = std::move(server_);
    PyThreadState* thread = PyEval_SaveThread();  // it waits for requests in progress
    stopped.reset();
    PyEval_RestoreThread(thread);
  }

  void AbandonAfterFork() noexcept {
    if (server_) server_->AbandonAfterFork();
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

 private:
  py::object segment_;
  py::object processes_;
  std::unique_ptr<HttpServer> server_;
  std::uint16_t port_ = 0;
};

}  // namespace

PYBIND11_MODULE(_metrics_server, m) {
  m.doc() = "The metrics over HTTP from native threads.";
  py::module_::import("reqtrail._native");  // has the types that are taken here
  py::class_<ServerObject>(m, "HttpServer")
      .def(py::init<py::object, py::object, const std::string&, std::uint16_t>(), py::arg("segment"),
           py::arg("processes"), py::arg("address"), py::arg("port"))
      .def("stop", &ServerObject::Stop)
      .def("abandon_after_fork", &ServerObject::AbandonAfterFork)
      .def_property_readonly("port", &ServerObject::port);
}
