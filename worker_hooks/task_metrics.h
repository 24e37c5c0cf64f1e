#pragma once

#include <string_view>

#include "metrics/segment.h"

namespace reqtrail {

/// The labels that the series of tasks have in common.
struct TaskLabels {
  std::string_view task;
  std::string_view queue;
};

/// The task families of a segment: a small value that must not outlive the Segment. Any thread may use it, and children
/// after fork. `request_id` is the exemplar; an empty one is none. What a worker tells of itself and of the queues goes
/// away with its process, however that ends. A default-constructed value counts nothing.
class TaskMetrics {
 public:
  /// Joins or makes the families.
  static Result<TaskMetrics> Open(Segment& segment);

  /// A publish that the broker took.
  void CountSent(const TaskLabels& labels, std::string_view request_id) const noexcept;
  /// An id from the broker that was replaced.
  void CountRejectedId() const noexcept { rejected_ids_.Inc(); }
  /// From the publish, or the ETA where that is later, to the start. A negative wait, by clocks that differ, is 0.
  void ObserveWait(const TaskLabels& labels, double seconds, std::string_view request_id) const noexcept;
  /// The end of a run; `error_type` counts for state FAILURE only.
  void CountEnd(const TaskLabels& labels, std::string_view state, std::string_view error_type,
                std::string_view request_id) const noexcept;
  /// How long a run took that came to its end in the worker.
  void ObserveDuration(const TaskLabels& labels, double seconds, std::string_view request_id) const noexcept;

  /// A task of this process has begun (1) or is over (-1).
  void AddRunning(double change) const noexcept { running_.Add(change); }

  /// A worker whose main process is this one has come up or gone down.
  void AddWorker(std::string_view hostname, bool is_up) const noexcept;

  /// How many messages are ready in a queue, as this process sees it. Of several workers the last one to look is shown.
  void SetQueueDepth(std::string_view queue, double messages) const noexcept;
  /// This process does not know any more: unless another one does, there is no sample.
  void ForgetQueueDepth(std::string_view queue) const noexcept;

 private:
  Family sent_;
  Family ended_;
  Family failures_;
  Family retries_;
  Family durations_;
  Family waits_;
  Family worker_up_;
  Family queue_depth_;
  CounterHandle rejected_ids_;
  GaugeHandle running_;
  GaugeHandle workers_;
};

}  // namespace reqtrail
