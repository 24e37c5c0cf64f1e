#include "log_sinks/fork_safe_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>
#include <thread>
#include <vector>

namespace reqtrail {
namespace {

TEST(ForkSafeLockTest, ExcludesThreads) {
  ForkSafeLock lock;
  int count = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 20'000; ++j) {
          const std::lock_guard guard(lock);
          ++count;
        }
      });
    }
  }
  EXPECT_EQ(count, 80'000);
}

TEST(ForkSafeLockTest, IsFreeInAChildWhateverThreadOfTheParentHoldsIt) {
  ForkSafeLock lock;
  const std::lock_guard guard(lock);
  const pid_t child = fork();
  if (child == 0) {
    lock.lock();
    lock.unlock();
    lock.lock();
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(ForkSafeLockTest, AForkIsCountedInTheChildOnly) {
  const std::uint32_t before = ForkGeneration();
  const pid_t child = fork();
  if (child == 0) _exit(ForkGeneration() == before + 1 ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(ForkGeneration(), before);
}

}  // namespace
}  // namespace reqtrail
