#include "metrics/service_processes.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "metrics/process_usage.h"

namespace reqtrail {
namespace {

Result<GaugeHandle> HiddenGauge(Segment& segment, std::string_view name, GaugeMode mode) {
  Result<Family> family =
      segment.GetOrCreateFamily({.name = name, .help = "Bookkeeping.", .type = MetricType::kGauge, .gauge_mode = mode});
  if (!family.ok()) return family.error();
  return family.value().Gauge({});
}

void WriteGauge(SampleWriter& writer, std::string_view name, std::string_view help, double value) {
  writer.BeginFamily(name, help, "gauge");
  writer.Write("", value);
  writer.EndFamily();
}

}  // namespace

Result<ServiceProcesses> ServiceProcesses::Enter(Segment& segment, std::string runtime_name, Labels runtime_labels) {
  ServiceProcesses processes;
  for (const auto& [handle, name, mode] :
       {std::tuple(&processes.alive_, "reqtrail_internal_alive", GaugeMode::kLiveAll),
        std::tuple(&processes.highest_cpu_seconds_, "reqtrail_internal_cpu_seconds", GaugeMode::kShared),
        std::tuple(&processes.ended_cpu_seconds_, "reqtrail_internal_ended_cpu_seconds", GaugeMode::kShared)}) {
    const Result<GaugeHandle> gauge = HiddenGauge(segment, name, mode);
    if (!gauge.ok()) return gauge.error();
    *handle = gauge.value();
  }
  processes.runtime_name_ = std::move(runtime_name);
  processes.runtime_labels_ = std::move(runtime_labels);
  processes.alive_.Set(1);
  return processes;
}

void ServiceProcesses::Write(SampleWriter& writer, Liveness& liveness) const {
  std::vector<ProcessUsage> usages;
  for (const GaugeHandle::Sample& sample : alive_.Samples(liveness)) {
    if (const std::optional<ProcessUsage> usage = UsageOf(sample.first.value_or(0))) usages.push_back(*usage);
  }
  if (usages.empty()) return;
  const auto sum = [&](double ProcessUsage::* member) {
    double total = 0;
    for (const ProcessUsage& usage : usages) total += usage.*member;
    return total;
  };
  const auto lowest = [&](double ProcessUsage::* member) { return std::ranges::min(usages, {}, member).*member; };
  writer.BeginFamily("process_cpu_seconds", "CPU time.", "counter");
  writer.Write("_total", CpuSeconds(sum(&ProcessUsage::cpu_seconds)));
  writer.EndFamily();
  WriteGauge(writer, "process_resident_memory_bytes", "Resident memory, summed: shared pages several times.",
             sum(&ProcessUsage::resident_bytes));
  WriteGauge(writer, "process_virtual_memory_bytes", "Virtual memory, summed.", sum(&ProcessUsage::virtual_bytes));
  WriteGauge(writer, "process_start_time_seconds", "Unix time at which the oldest process started.",
             lowest(&ProcessUsage::start_unix_seconds));
  WriteGauge(writer, "process_open_fds", "Open file descriptors, summed.", sum(&ProcessUsage::open_fds));
  WriteGauge(writer, "process_max_fds", "Lowest limit of open file descriptors.", lowest(&ProcessUsage::max_fds));
  if (runtime_name_.empty()) return;
  std::vector<std::string_view> names;
  std::vector<std::string_view> values;
  for (const auto& [name, value] : runtime_labels_) {
    names.emplace_back(name);
    values.emplace_back(value);
  }
  writer.BeginFamily(runtime_name_, "What the process that was scraped runs on.", "gauge");
  writer.SetLabels(names, values);
  writer.Write("", 1.0);
  writer.EndFamily();
}

double ServiceProcesses::CpuSeconds(double of_living) const noexcept {
  double ended = ended_cpu_seconds_.Own();
  const double highest = highest_cpu_seconds_.Own();
  if (of_living + ended < highest) {
    ended = highest - of_living;
    ended_cpu_seconds_.Set(ended);
  }
  highest_cpu_seconds_.Set(of_living + ended);
  return of_living + ended;
}

}  // namespace reqtrail
