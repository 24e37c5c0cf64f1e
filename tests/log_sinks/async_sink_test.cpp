#include "log_sinks/async_sink.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "log_sinks/file_sink.h"
#include "tests/log_sinks/temporary_log.h"

namespace reqtrail {
namespace {

constexpr std::chrono::seconds kLong{60};

/// Keeps the lines, and lets nothing pass while the gate is shut.
class GatedSink final : public LineSink {
 public:
  [[nodiscard]] DropReason Write(std::string_view line) noexcept override {
    entered_ = true;
    entered_.notify_all();
    open_.wait(false);
    const std::lock_guard guard(mutex_);
    text_ += line;
    return DropReason::kNone;
  }

  void Shut() { open_ = false; }
  void Open() {
    open_ = true;
    open_.notify_all();
  }
  void WaitUntilEntered() { entered_.wait(false); }
  [[nodiscard]] std::string text() {
    const std::lock_guard guard(mutex_);
    return text_;
  }

 private:
  std::atomic<bool> open_{true};
  std::atomic<bool> entered_{false};
  std::mutex mutex_;
  std::string text_;
};

class AsyncSinkTest : public testing::Test {
 protected:
  /// A sink of two lines whose thread holds the line "0", so that the queue is empty and stays so.
  std::unique_ptr<AsyncSink> Held(Overflow overflow) {
    gated_->Shut();
    auto sink = std::make_unique<AsyncSink>(gated_, 2, overflow);
    EXPECT_EQ(sink->Write("0\n"), DropReason::kNone);
    gated_->WaitUntilEntered();
    return sink;
  }

  static std::uint64_t Dropped(DropReason reason) { return DroppedSoFar().at(static_cast<std::size_t>(reason)); }

  std::shared_ptr<GatedSink> gated_ = std::make_shared<GatedSink>();
};

TEST_F(AsyncSinkTest, WritesInOrder) {
  AsyncSink sink(gated_, 1000, Overflow::kBlock);
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    expected += std::to_string(i) + "\n";
    EXPECT_EQ(sink.Write(std::to_string(i) + "\n"), DropReason::kNone);
  }
  EXPECT_TRUE(sink.Drain(kLong));
  EXPECT_EQ(gated_->text(), expected);
}

TEST_F(AsyncSinkTest, AFullQueueDropsTheOldestLine) {
  const auto sink = Held(Overflow::kDropOldest);
  const std::uint64_t before = Dropped(DropReason::kQueueFull);
  for (const char* line : {"1\n", "2\n", "3\n"}) EXPECT_EQ(sink->Write(line), DropReason::kNone);
  EXPECT_EQ(Dropped(DropReason::kQueueFull), before + 1);
  gated_->Open();
  EXPECT_TRUE(sink->Drain(kLong));
  EXPECT_EQ(gated_->text(), "0\n2\n3\n");
}

TEST_F(AsyncSinkTest, AFullQueueDropsTheNewestLine) {
  const auto sink = Held(Overflow::kDropNewest);
  for (const char* line : {"1\n", "2\n"}) EXPECT_EQ(sink->Write(line), DropReason::kNone);
  EXPECT_EQ(sink->Write("3\n"), DropReason::kQueueFull);
  gated_->Open();
  EXPECT_TRUE(sink->Drain(kLong));
  EXPECT_EQ(gated_->text(), "0\n1\n2\n");
}

TEST_F(AsyncSinkTest, AFullQueueMakesTheWriterWait) {
  const auto sink = Held(Overflow::kBlock);
  std::jthread writer([&sink] {
    for (const char* line : {"1\n", "2\n", "3\n"}) EXPECT_EQ(sink->Write(line), DropReason::kNone);
  });
  gated_->Open();
  writer.join();
  EXPECT_TRUE(sink->Drain(kLong));
  EXPECT_EQ(gated_->text(), "0\n1\n2\n3\n");
}

TEST_F(AsyncSinkTest, WhatIsAbandonedIsCounted) {
  const auto sink = Held(Overflow::kBlock);
  const std::uint64_t before = Dropped(DropReason::kExit);
  for (const char* line : {"1\n", "2\n"}) EXPECT_EQ(sink->Write(line), DropReason::kNone);
  EXPECT_FALSE(sink->Drain(std::chrono::milliseconds(1)));
  sink->Abandon();
  EXPECT_EQ(Dropped(DropReason::kExit), before + 2);
  gated_->Open();
  EXPECT_TRUE(sink->Drain(kLong));
  EXPECT_EQ(gated_->text(), "0\n");
}

TEST_F(AsyncSinkTest, SinksShareOneThreadInTurn) {
  auto other_target = std::make_shared<GatedSink>();
  AsyncSink one(gated_, 100, Overflow::kBlock);
  AsyncSink other(other_target, 100, Overflow::kBlock);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(one.Write("one\n"), DropReason::kNone);
    EXPECT_EQ(other.Write("other\n"), DropReason::kNone);
  }
  EXPECT_TRUE(one.Drain(kLong));
  EXPECT_TRUE(other.Drain(kLong));
  EXPECT_EQ(gated_->text().size(), 400U);
  EXPECT_EQ(other_target->text().size(), 600U);
}

// Not in the sanitized builds: a child of several threads may inherit AddressSanitizer's allocator locked (glibc's is
// made safe by fork), and ThreadSanitizer supports no threads that such a child starts.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(AsyncSinkTest, AChildLogsOnWhateverTheParentsThreadsWereAt) {
  const TemporaryLog log;
  auto file = std::make_shared<FileSink>(FileSinkOptions{.path = log.path()});
  ASSERT_EQ(file->Open(), 0);
  AsyncSink sink(file, 100, Overflow::kBlock);
  std::atomic<bool> stop{false};
  std::jthread busy([&] {
    while (!stop) (void)sink.Write("parent\n");
  });
  constexpr int kChildren = 50;
  for (int i = 0; i < kChildren; ++i) {
    if (fork() == 0) {
      (void)sink.Write("child\n");
      _exit(sink.Drain(kLong) && DroppedInAll() == 0 ? 0 : 1);
    }
  }
  for (int status = 0; wait(&status) > 0;) EXPECT_EQ(status, 0);
  stop = true;
  busy.join();
  EXPECT_TRUE(sink.Drain(kLong));
  int children = 0;
  for (const std::string& line : log.Lines()) {
    ASSERT_TRUE(line == "parent" || line == "child") << line;
    children += static_cast<int>(line == "child");
  }
  EXPECT_EQ(children, kChildren);
}
#endif

}  // namespace
}  // namespace reqtrail
