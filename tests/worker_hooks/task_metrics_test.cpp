#include "worker_hooks/task_metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "metrics/exposition.h"
#include "tests/metrics/child_process.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr TaskLabels kSync{.task = "repositories.sync", .queue = "slow"};

class TaskMetricsTest : public testing::Test {
 protected:
  void SetUp() override {
    segment_ = OpenOrFail(OptionsIn(directory_));
    ASSERT_TRUE(segment_);
    const Result<TaskMetrics> opened = TaskMetrics::Open(*segment_);
    ASSERT_TRUE(opened.ok());
    metrics_ = opened.value();
  }

  [[nodiscard]] bool Shows(const std::string& line) const {
    return Expose(*segment_, {.format = ExpositionFormat::kOpenMetrics}).find("\n" + line) != std::string::npos;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Segment> segment_;
  TaskMetrics metrics_;
};

TEST_F(TaskMetricsTest, AFailureIsCountedByStateAndByTheClassOfItsError) {
  metrics_.CountEnd(kSync, "FAILURE", "ValueError", "request-1");
  metrics_.CountEnd(kSync, "SUCCESS", "NoneType", "request-2");
  EXPECT_TRUE(Shows(R"(celery_tasks_total{task="repositories.sync",queue="slow",state="FAILURE"} 1)"));
  EXPECT_TRUE(Shows(R"(celery_tasks_total{task="repositories.sync",queue="slow",state="SUCCESS"} 1)"));
  EXPECT_TRUE(Shows(
      R"(celery_task_failures_total{task="repositories.sync",queue="slow",error_type="ValueError"} 1 # {request_id="request-1"})"));
  EXPECT_FALSE(Shows(R"(celery_task_failures_total{task="repositories.sync",queue="slow",error_type="NoneType"})"));
}

TEST_F(TaskMetricsTest, ARetryIsCountedAsOneAndAsNoFailure) {
  metrics_.CountEnd(kSync, "RETRY", "Retry", "");
  EXPECT_TRUE(Shows(R"(celery_tasks_total{task="repositories.sync",queue="slow",state="RETRY"} 1)"));
  EXPECT_TRUE(Shows(R"(celery_task_retries_total{task="repositories.sync",queue="slow"} 1)"));
  EXPECT_FALSE(Shows("celery_task_failures_total{"));
}

TEST_F(TaskMetricsTest, ANegativeWaitIsNone) {
  metrics_.ObserveWait(kSync, -3, "request-1");
  EXPECT_TRUE(Shows(R"(celery_task_queue_wait_seconds_sum{task="repositories.sync",queue="slow"} 0)"));
  EXPECT_TRUE(Shows(R"(celery_task_queue_wait_seconds_count{task="repositories.sync",queue="slow"} 1)"));
}

TEST_F(TaskMetricsTest, AQueueDepthThatIsNotKnownIsNotShownAndZeroIs) {
  EXPECT_FALSE(Shows("celery_queue_depth{"));
  metrics_.SetQueueDepth("slow", 0);
  EXPECT_TRUE(Shows(R"(celery_queue_depth{queue="slow"} 0)"));
  metrics_.ForgetQueueDepth("slow");
  EXPECT_FALSE(Shows("celery_queue_depth{"));
  metrics_.SetQueueDepth("slow", 7);
  EXPECT_TRUE(Shows(R"(celery_queue_depth{queue="slow"} 7)"));
}

TEST_F(TaskMetricsTest, TheLastWorkerThatLookedAtAQueueIsShownUntilItForgets) {
  metrics_.SetQueueDepth("slow", 3);
  metrics_.AddWorker("one@here", true);
  metrics_.AddRunning(1);
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  ChildProcess other([&] {
    metrics_.SetQueueDepth("slow", 5);
    metrics_.AddWorker("two@here", true);
    metrics_.AddRunning(2);
    if (::write(ready[1], "!", 1) == 1) ::pause();
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(Shows(R"(celery_queue_depth{queue="slow"} 5)"));
  EXPECT_TRUE(Shows("celery_workers_active 2"));
  EXPECT_TRUE(Shows("celery_worker_tasks_active 3"));
  other.Kill();
  EXPECT_TRUE(Shows(R"(celery_queue_depth{queue="slow"} 3)"));
  EXPECT_TRUE(Shows(R"(celery_worker_up{hostname="one@here"} 1)"));
  EXPECT_TRUE(Shows(R"(celery_worker_up{hostname="two@here"} 0)"));
  EXPECT_TRUE(Shows("celery_workers_active 1"));
  EXPECT_TRUE(Shows("celery_worker_tasks_active 1"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(TaskMetricsTest, AWorkerThatWentDownIsNotUp) {
  metrics_.AddWorker("one@here", true);
  metrics_.AddWorker("one@here", false);
  EXPECT_TRUE(Shows(R"(celery_worker_up{hostname="one@here"} 0)"));
  EXPECT_TRUE(Shows("celery_workers_active 0"));
}

TEST_F(TaskMetricsTest, MetricsThatAreNotOpenCountNothing) {
  const TaskMetrics none;
  none.CountSent(kSync, "request-1");
  none.CountRejectedId();
  none.CountEnd(kSync, "FAILURE", "ValueError", "request-1");
  none.ObserveDuration(kSync, 1, "request-1");
  none.AddRunning(1);
  none.AddWorker("one@here", true);
  none.SetQueueDepth("slow", 1);
  none.ForgetQueueDepth("slow");
  EXPECT_FALSE(Shows("celery_tasks_total{"));
}

}  // namespace
}  // namespace reqtrail
