#pragma once

#include <string>
#include <utility>
#include <vector>

#include "metrics/sample_writer.h"
#include "metrics/segment.h"

namespace reqtrail {

/// The processes of a service as `process_*` series: sums over those that live, not a series for each pid. Each process
/// enters itself once in a hidden gauge of the segment. Any thread; must not outlive the Segment.
class ServiceProcesses {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  /// Makes this process one of the service's. `runtime_name` and `runtime_labels` are a gauge of 1 that says what the
  /// process that is scraped runs on, for example python_info; "": none. Errors as for Segment::GetOrCreateFamily.
  static Result<ServiceProcesses> Enter(Segment& segment, std::string runtime_name, Labels runtime_labels);

  /// The same for a child after fork.
  void EnterChild() const noexcept { alive_.Set(1); }

  /// Writes the families. CPU seconds never fall: what ended processes had used at the last call stays, by a high-water
  /// mark in the segment; what they used after it is lost.
  void Write(SampleWriter& writer, Liveness& liveness) const;

 private:
  ServiceProcesses() = default;

  [[nodiscard]] double CpuSeconds(double of_living) const noexcept;

  GaugeHandle alive_;
  GaugeHandle highest_cpu_seconds_;
  GaugeHandle ended_cpu_seconds_;
  std::string runtime_name_;
  Labels runtime_labels_;
};

}  // namespace reqtrail
