#pragma once

#include <Python.h>

#include "metrics/segment.h"
#include "pyext/access_log.h"
#include "pyext/http_metrics.h"
#include "pyext/route_series.h"

namespace reqtrail {

struct Exchange;

/// A Python object that records requests when they end: metrics, the error line, the access line. Metrics are recorded
/// here; what is rare or costly anyway (a new route, an error, a line of a logger that wants it) is a call to Python.
struct Recorder;

/// What the recorder is made of. Borrowed; MakeRecorder takes references of its own.
struct RecorderOptions {
  HttpMetricsOptions metrics;
  bool count_4xx;             ///< whether statuses from 400 on are counted as errors, not only from 500 on
  PyObject* route_template;   ///< (scope, root_path: str | None) -> str
  PyObject* is_excluded;      ///< (template: str) -> bool, or None: a route without metrics and access lines
  PyObject* is_skipped;       ///< (path: str) -> bool, or None: the same by raw path
  PyObject* is_cancellation;  ///< (exception) -> bool: asked where it is no Exception
  /// (exception, endpoint, method, status_code, seconds, found_id: str | None) -> error type: str, or None: no error
  PyObject* on_error;
  AccessLogOptions access;
};

/// A new reference, or nullptr with a Python error. `segment_object` owns `segment` and is kept alive.
[[nodiscard]] PyObject* MakeRecorder(PyObject* segment_object, Segment& segment, const RecorderOptions& options);

/// Begins to record a request of this `scope`. Leaves no Python error set.
void RecordBegin(Recorder* recorder, Exchange* exchange, PyObject* scope, bool rejected_id) noexcept;

/// Counts a request that is waiting now among those in progress, under its route as soon as that is known.
/// REQUIRES: exchange->is_watched. Leaves no Python error set.
void RecordSuspension(Recorder* recorder, Exchange* exchange, const Routed& routed) noexcept;

/// Records the request that has just ended. `error` is the exception that the application raised, or nullptr.
/// REQUIRES: no Python error is set; the context variable has the request's id. Leaves no Python error set: its own
/// faults are reported.
void RecordRequest(Recorder* recorder, Exchange* exchange, const Routed& routed, PyObject* error) noexcept;

/// Counts an error of class `error_type` that the application has handled itself. Returns the tuple (method, endpoint)
/// as a new reference, or nullptr with an error.
[[nodiscard]] PyObject* RecordCaptured(Recorder* recorder, const Exchange* exchange, const Routed& routed,
                                       const char* error_type);

/// Whether a status counts as an error.
[[nodiscard]] bool IsErrorStatus(const Recorder* recorder, int status) noexcept;

[[nodiscard]] bool InitRecorderType();

/// The type of Recorder, borrowed. REQUIRES: InitRecorderType before.
[[nodiscard]] PyTypeObject* RecorderType() noexcept;

}  // namespace reqtrail
