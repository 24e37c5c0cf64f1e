#include "log_sinks/descriptor_sink.h"

#include <gtest/gtest.h>
#include <spdlog/details/log_msg.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "tests/log_sinks/pipe.h"

namespace reqtrail {
namespace {

class DescriptorSinkTest : public testing::Test {
 protected:
  DescriptorSinkTest() { (void)std::signal(SIGPIPE, SIG_IGN); }  // as Python has it

  Pipe pipe_;
  DescriptorSink sink_{pipe_.writer()};
};

TEST_F(DescriptorSinkTest, WritesLinesAsTheyAre) {
  EXPECT_EQ(sink_.Write("one\n"), DropReason::kNone);
  EXPECT_EQ(sink_.Write("two\n"), DropReason::kNone);
  EXPECT_EQ(pipe_.Read(), "one\ntwo\n");
}

TEST_F(DescriptorSinkTest, IsASinkOfSpdlogAndCountsWhatItDrops) {
  spdlog::sinks::sink& sink = sink_;
  sink.log({"logger", spdlog::level::info, "line\n"});
  EXPECT_EQ(pipe_.Read(), "line\n");
  const std::uint64_t before = DroppedSoFar()[static_cast<std::size_t>(DropReason::kClosed)];
  pipe_.CloseReader();
  sink.log({"logger", spdlog::level::info, "line\n"});
  EXPECT_EQ(DroppedSoFar()[static_cast<std::size_t>(DropReason::kClosed)], before + 1);
}

TEST_F(DescriptorSinkTest, SaysThatTheReaderWentAway) {
  pipe_.CloseReader();
  EXPECT_EQ(sink_.Write("one\n"), DropReason::kClosed);
}

TEST_F(DescriptorSinkTest, SaysThatTheDescriptorIsClosed) {
  DescriptorSink closed(-1);
  EXPECT_EQ(closed.Write("one\n"), DropReason::kClosed);
}

TEST_F(DescriptorSinkTest, DropsWhatAStalledReaderLeavesNoRoomForAndGoesOnWhenItReads) {
  const std::string kilobyte = std::string(1023, 'x') + "\n";
  for (int i = 0; i < 4; ++i) EXPECT_EQ(sink_.Write(kilobyte), DropReason::kNone);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(sink_.Write(kilobyte), DropReason::kStalled);
  EXPECT_EQ(pipe_.Read().size(), 4 * kilobyte.size());
  EXPECT_EQ(sink_.Write("again\n"), DropReason::kNone);
  EXPECT_EQ(pipe_.Read(), "again\n");
}

TEST_F(DescriptorSinkTest, HalfALineNeverRunsIntoTheNextOne) {
  const std::string too_long = std::string(10'000, 'x') + "\n";
  EXPECT_EQ(sink_.Write(too_long), DropReason::kStalled);
  EXPECT_EQ(pipe_.Read(), std::string(4096, 'x'));
  EXPECT_EQ(sink_.Write("next\n"), DropReason::kNone);
  EXPECT_EQ(pipe_.Read(), "\nnext\n");
}

TEST_F(DescriptorSinkTest, LinesOfManyThreadsStayWhole) {
  pipe_.BlockWriter();
  std::vector<std::jthread> writers;
  for (char letter = 'a'; letter < 'e'; ++letter) {
    writers.emplace_back([this, letter] {
      for (int i = 0; i < 50; ++i) EXPECT_EQ(sink_.Write(std::string(6000, letter) + "\n"), DropReason::kNone);
    });
  }
  std::string text;
  while (text.size() < std::size_t{4} * 50 * 6001) text += pipe_.Read();
  for (std::size_t at = 0; at < text.size(); at += 6001) {
    ASSERT_EQ(text.substr(at, 6001), std::string(6000, text[at]) + "\n");
  }
}

}  // namespace
}  // namespace reqtrail
