#pragma once

#include <Python.h>

#include <string_view>

#include "metrics/segment.h"

namespace reqtrail {

struct Exchange;

/// A Python object that records requests when they end: metrics, the error line, the access line. Metrics are recorded
/// here; what is rare or costly anyway (a new route, an error, a line of a logger that wants it) is a call to Python.
struct Recorder;

/// What the recorder is made of. Borrowed; MakeRecorder takes references of its own.
struct RecorderOptions {
  std::string_view errors_namespace;
  PyObject* access_levels;   ///< the access logger's cache of enabled levels, a dict
  PyObject* route_template;  ///< (scope, root_path: str | None) -> str
  PyObject* on_error;   ///< (exception, endpoint, method, status_code, seconds) -> error type: str, or None: no error
  PyObject* on_access;  ///< (method, endpoint, status_code, seconds) -> None
};

/// A new reference, or nullptr with a Python error. `segment_object` owns `segment` and is kept alive.
[[nodiscard]] PyObject* MakeRecorder(PyObject* segment_object, Segment& segment, const RecorderOptions& options);

/// Records the request that has just ended. `error` is the exception that the application raised, or nullptr; `scope`
/// is as the application left it and `root_path` what its "root_path" was before (nullptr: none). REQUIRES: no Python
/// error is set; the context variable has the request's id. Leaves no Python error set: its own faults are reported.
void RecordRequest(Recorder* recorder, Exchange* exchange, PyObject* scope, PyObject* root_path,
                   PyObject* error) noexcept;

/// Counts an id in a request that was refused.
void RecordRejectedId(Recorder* recorder) noexcept;

[[nodiscard]] bool InitRecorderType();

/// The type of Recorder, borrowed. REQUIRES: InitRecorderType before.
[[nodiscard]] PyTypeObject* RecorderType() noexcept;

}  // namespace reqtrail
