#pragma once

#include <Python.h>

#include <cstdint>

#include "metrics/gauge.h"
#include "pyext/asgi_middleware.h"

namespace reqtrail {

/// What is known of one request while it runs, and the `send` that its application gets: a call returns what the
/// server's own send(message) returns, with no frame in between, and puts the id into the message that starts the
/// response. It outlives the Call when the application keeps it. Not shared between threads, but it may be called from
/// any one: the GIL guards the fields.
struct Exchange {
  PyObject_HEAD vectorcallfunc vectorcall;
  Middleware* middleware;
  PyObject* send;        ///< the server's
  PyObject* id;          ///< str
  PyObject* found_id;    ///< str: what the context has in place of `id` while the end is recorded; borrowed, or nullptr
  PyObject* header;      ///< tuple: the header's name and the id, as bytes
  PyObject* error_type;  ///< the class of the exception that was being handled when a 5xx began, or nullptr
  void* handled_error;   ///< that exception's address, only to be compared: it may be dead
  std::int64_t began_ns;  ///< monotonic; 0 without a recorder
  std::int64_t ended_ns;  ///< monotonic: when the last body message was sent; 0 before
  int status;             ///< of the response; 0 until it starts
  bool websocket;
  bool accepted;           ///< a websocket was accepted
  bool is_recorded;        ///< the request has metrics and an access line
  bool is_watched;         ///< it is counted among those in progress, as soon as it waits for something
  GaugeHandle inprogress;  ///< where it is counted; empty before
};

/// Takes over the references `id` and `header`, also on failure. nullptr with MemoryError.
[[nodiscard]] Exchange* MakeExchange(Middleware* middleware, PyObject* send, PyObject* id, PyObject* header);

/// Nanoseconds of the monotonic clock.
[[nodiscard]] std::int64_t MonotonicNs() noexcept;

/// The exception that is being handled in the running code, borrowed for as long as that lasts; nullptr without one.
[[nodiscard]] PyObject* HandledError() noexcept;

[[nodiscard]] bool InitExchangeType();

}  // namespace reqtrail
