#include "log_sinks/file_sink.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <set>
#include <string>
#include <thread>

#include "tests/log_sinks/temporary_log.h"

namespace reqtrail {
namespace {

using Lines = std::vector<std::string>;

class FileSinkTest : public testing::Test {
 protected:
  TemporaryLog log_;
};

TEST_F(FileSinkTest, AppendsToWhatIsThere) {
  std::ofstream(log_.path()) << "before\n";
  FileSink sink({.path = log_.path()});
  ASSERT_EQ(sink.Open(), 0);
  EXPECT_EQ(sink.Write("after\n"), DropReason::kNone);
  EXPECT_EQ(log_.Lines(), (Lines{"before", "after"}));
}

TEST_F(FileSinkTest, SaysWhyItCannotBeOpened) {
  FileSink sink({.path = log_.path("/missing/app.log")});
  EXPECT_EQ(sink.Open(), ENOENT);
}

TEST_F(FileSinkTest, ReopensWhatLogrotateRenamed) {
  FileSink sink({.path = log_.path()});
  ASSERT_EQ(sink.Open(), 0);
  EXPECT_EQ(sink.Write("old\n"), DropReason::kNone);
  std::filesystem::rename(log_.path(), log_.path(".1"));
  for (int i = 0; i < 600 && !std::filesystem::exists(log_.path()); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(sink.Write("late\n"), DropReason::kNone);
  }
  EXPECT_EQ(log_.Lines(), Lines{"late"});
  EXPECT_EQ(log_.Lines(".1").front(), "old");
}

TEST_F(FileSinkTest, RotatesBeforeALineThatWouldBeTooMuch) {
  FileSink sink({.path = log_.path(), .max_bytes = 10, .backups = 2});
  ASSERT_EQ(sink.Open(), 0);
  for (const std::string line : {"aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "a line longer than a file may be\n", "e\n"}) {
    EXPECT_EQ(sink.Write(line), DropReason::kNone);
  }
  EXPECT_EQ(log_.Text(), "e\n");
  EXPECT_EQ(log_.Text(".1"), "a line longer than a file may be\n");
  EXPECT_EQ(log_.Text(".2"), "cccc\ndddd\n");
  EXPECT_FALSE(std::filesystem::exists(log_.path(".3")));
}

TEST_F(FileSinkTest, GoesOnWithAFileThatCannotBeRenamed) {
  std::filesystem::create_directory(log_.path(".1"));
  FileSink sink({.path = log_.path(), .max_bytes = 10, .backups = 1});
  ASSERT_EQ(sink.Open(), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(sink.Write("a line\n"), DropReason::kNone);
  EXPECT_EQ(log_.Lines().size(), 5U);
}

TEST_F(FileSinkTest, ManyProcessesRotateOneFileAndLoseNothing) {
  constexpr int kProcesses = 4;
  constexpr int kLines = 500;
  FileSink sink({.path = log_.path(), .max_bytes = 2000, .backups = 1000});
  ASSERT_EQ(sink.Open(), 0);
  for (int process = 0; process < kProcesses; ++process) {
    if (fork() == 0) {
      for (int i = 0; i < kLines; ++i) {
        const std::string line = std::to_string(process) + " " + std::to_string(i) + "\n";
        if (sink.Write(line) != DropReason::kNone) _exit(1);
      }
      _exit(0);
    }
  }
  for (int status = 0; wait(&status) > 0;) EXPECT_EQ(status, 0);
  std::set<std::string> found;
  Lines all = log_.Lines();
  for (int i = 1; std::filesystem::exists(log_.path("." + std::to_string(i))); ++i) {
    const Lines more = log_.Lines("." + std::to_string(i));
    all.insert(all.end(), more.begin(), more.end());
  }
  found.insert(all.begin(), all.end());
  // How many there are depends on who waited for whom.
  EXPECT_TRUE(std::filesystem::exists(log_.path(".1")));
  EXPECT_EQ(all.size(), static_cast<std::size_t>(kProcesses * kLines));
  EXPECT_EQ(found.size(), static_cast<std::size_t>(kProcesses * kLines));
}

TEST_F(FileSinkTest, ALineThatDoesNotFitOnTheDiskIsTakenBackWhole) {
  FileSink sink({.path = log_.path()});
  ASSERT_EQ(sink.Open(), 0);
  ASSERT_EQ(sink.Write("first\n"), DropReason::kNone);
  (void)std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit limit = {.rlim_cur = 10, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  const DropReason reason = sink.Write("too long a line\n");
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(reason, DropReason::kDiskFull);
  EXPECT_EQ(log_.Text(), "first\n");
  EXPECT_EQ(sink.Write("second\n"), DropReason::kNone);
  EXPECT_EQ(log_.Lines(), (Lines{"first", "second"}));
}

TEST_F(FileSinkTest, SaysThatTheDiskIsFull) {
  FileSink sink({.path = "/dev/full"});
  ASSERT_EQ(sink.Open(), 0);
  EXPECT_EQ(sink.Write("line\n"), DropReason::kDiskFull);
}

}  // namespace
}  // namespace reqtrail
