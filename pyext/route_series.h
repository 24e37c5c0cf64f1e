#pragma once

#include <Python.h>

#include <string_view>

#include "pyext/http_metrics.h"
#include "pyext/series_cache.h"

namespace reqtrail {

/// Where a request was routed to: the ASGI scope as the application left it, and what its "root_path" was before
/// (nullptr: none). Borrowed.
struct Routed {
  PyObject* scope;
  PyObject* root_path;
};

/// How a request ended.
struct Ending {
  const char* method;  ///< from KnownMethod()
  int status;
  double seconds;
  std::string_view request_id;
};

/// The UTF-8 of a str, which owns it; empty for anything else. Sets no error.
[[nodiscard]] std::string_view TextView(PyObject* text) noexcept;

/// The metrics of one application by route. What a route's template is, and whether it is excluded, is asked of Python
/// once for each route where the scope tells which one it is. REQUIRES: the GIL for every call.
class RouteSeries {
 public:
  /// `route_template`: (scope, root_path: str | None) -> str. `is_excluded`: (template: str) -> bool, or None. Takes
  /// references of its own.
  RouteSeries(const HttpMetrics& metrics, PyObject* route_template, PyObject* is_excluded) noexcept;
  RouteSeries(const RouteSeries&) = delete;
  RouteSeries& operator=(const RouteSeries&) = delete;
  ~RouteSeries();

  /// The route template: a new reference to a str, or nullptr with an error.
  [[nodiscard]] PyObject* Template(const Routed& routed) const;

  /// Records a request, unless its route is excluded, and returns the route template: a new reference, or nullptr with
  /// an error.
  [[nodiscard]] PyObject* Record(const Routed& routed, const Ending& ending, bool* excluded);

  /// The same where the template is known. False with an error.
  [[nodiscard]] bool RecordUnder(PyObject* handler, const Ending& ending, bool* excluded) const;

  /// Counts a running request in, and returns the gauge to count it out of; an empty one if the route is excluded, and
  /// with an error set. `is_routed`: IsRouted of the scope.
  [[nodiscard]] GaugeHandle CountIn(const Routed& routed, bool is_routed, const char* method);

  /// Whether a router has chosen already.
  [[nodiscard]] static bool IsRouted(PyObject* scope) noexcept;

  int Traverse(visitproc visit, void* arg) const;
  /// Forgets the routes.
  void Clear() noexcept;

 private:
  struct Ended {
    HttpSeries series;
    bool excluded;

    [[nodiscard]] bool WasRemoved() const noexcept { return series.WasRemoved(); }
  };

  /// 1, 0, or -1 with an error.
  [[nodiscard]] int IsExcluded(PyObject* handler) const;

  HttpMetrics metrics_;
  PyObject* route_template_;
  PyObject* is_excluded_;
  SeriesCache<Ended> ended_;
  SeriesCache<GaugeHandle> running_;
};

}  // namespace reqtrail
