#include "worker_hooks/task_metrics.h"

#include <algorithm>
#include <utility>

#include "core/latency_buckets.h"

namespace reqtrail {
namespace {

constexpr std::string_view kLabels[] = {"task", "queue"};
constexpr std::string_view kEndLabels[] = {"task", "queue", "state"};
constexpr std::string_view kFailureLabels[] = {"task", "queue", "error_type"};
constexpr std::string_view kWorkerLabels[] = {"hostname"};
constexpr std::string_view kQueueLabels[] = {"queue"};

const FamilySpec kSent = {.name = "celery_tasks_sent", .help = "Tasks that were published.", .label_names = kLabels};
const FamilySpec kEnded = {
    .name = "celery_tasks", .help = "Runs of tasks that ended, by state.", .label_names = kEndLabels};
const FamilySpec kFailures = {.name = "celery_task_failures",
                              .help = "Tasks that failed, by the class of the error.",
                              .label_names = kFailureLabels};
const FamilySpec kRetries = {
    .name = "celery_task_retries", .help = "Runs of tasks that ended in a retry.", .label_names = kLabels};
const FamilySpec kDurations = {.name = "celery_task_duration_seconds",
                               .help = "How long the runs of tasks took.",
                               .type = MetricType::kHistogram,
                               .label_names = kLabels,
                               .bounds = kLatencyBuckets};
const FamilySpec kWaits = {.name = "celery_task_queue_wait_seconds",
                           .help = "From the publish, or the ETA where that is later, to the start.",
                           .type = MetricType::kHistogram,
                           .label_names = kLabels,
                           .bounds = kLatencyBuckets};
const FamilySpec kRejectedIds = {.name = "reqtrail_task_request_ids_rejected",
                                 .help = "Ids in messages that were no request ids."};
const FamilySpec kRunning = {
    .name = "celery_worker_tasks_active", .help = "Tasks that workers are running now.", .type = MetricType::kGauge};
const FamilySpec kWorkers = {
    .name = "celery_workers_active", .help = "Workers that are up.", .type = MetricType::kGauge};
const FamilySpec kWorkerUp = {.name = "celery_worker_up",
                              .help = "1 while the worker is up, else 0.",
                              .type = MetricType::kGauge,
                              .label_names = kWorkerLabels};
const FamilySpec kQueueDepth = {.name = "celery_queue_depth",
                                .help = "Messages that are ready in a queue, of all priorities.",
                                .type = MetricType::kGauge,
                                .label_names = kQueueLabels,
                                .gauge_mode = GaugeMode::kLiveMostRecent};

}  // namespace

Result<TaskMetrics> TaskMetrics::Open(Segment& segment) {
  TaskMetrics metrics;
  Family rejected_ids;
  Family running;
  Family workers;
  const std::pair<Family*, const FamilySpec*> families[] = {
      {&metrics.sent_, &kSent},
      {&metrics.ended_, &kEnded},
      {&metrics.failures_, &kFailures},
      {&metrics.retries_, &kRetries},
      {&metrics.durations_, &kDurations},
      {&metrics.waits_, &kWaits},
      {&metrics.worker_up_, &kWorkerUp},
      {&metrics.queue_depth_, &kQueueDepth},
      {&rejected_ids, &kRejectedIds},
      {&running, &kRunning},
      {&workers, &kWorkers},
  };
  for (const auto& [place, spec] : families) {
    Result<Family> family = segment.GetOrCreateFamily(*spec);
    if (!family.ok()) return family.error();
    *place = family.value();
  }
  metrics.rejected_ids_ = rejected_ids.Counter({});
  metrics.running_ = running.Gauge({});
  metrics.workers_ = workers.Gauge({});
  return metrics;
}

void TaskMetrics::CountSent(const TaskLabels& labels, std::string_view request_id) const noexcept {
  const std::string_view values[] = {labels.task, labels.queue};
  sent_.Counter(values).Inc(1, request_id);
}

void TaskMetrics::ObserveWait(const TaskLabels& labels, double seconds, std::string_view request_id) const noexcept {
  const std::string_view values[] = {labels.task, labels.queue};
  waits_.Histogram(values).Observe(std::max(seconds, 0.0), request_id);
}

void TaskMetrics::CountEnd(const TaskLabels& labels, std::string_view state, std::string_view error_type,
                           std::string_view request_id) const noexcept {
  const std::string_view ended[] = {labels.task, labels.queue, state};
  ended_.Counter(ended).Inc(1, request_id);
  if (state == "FAILURE") {
    const std::string_view failed[] = {labels.task, labels.queue, error_type};
    failures_.Counter(failed).Inc(1, request_id);
  } else if (state == "RETRY") {
    const std::string_view retried[] = {labels.task, labels.queue};
    retries_.Counter(retried).Inc(1, request_id);
  }
}

void TaskMetrics::ObserveDuration(const TaskLabels& labels, double seconds,
                                  std::string_view request_id) const noexcept {
  const std::string_view values[] = {labels.task, labels.queue};
  durations_.Histogram(values).Observe(seconds, request_id);
}

void TaskMetrics::AddWorker(std::string_view hostname, bool is_up) const noexcept {
  const std::string_view values[] = {hostname};
  const double change = is_up ? 1 : -1;
  workers_.Add(change);
  worker_up_.Gauge(values).Add(change);
}

void TaskMetrics::SetQueueDepth(std::string_view queue, double messages) const noexcept {
  const std::string_view values[] = {queue};
  queue_depth_.Gauge(values).Set(messages);
}

void TaskMetrics::ForgetQueueDepth(std::string_view queue) const noexcept {
  const std::string_view values[] = {queue};
  queue_depth_.Gauge(values).Withdraw();
}

}  // namespace reqtrail
