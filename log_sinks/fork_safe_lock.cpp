#include "log_sinks/fork_safe_lock.h"

#include <pthread.h>

namespace reqtrail {
namespace {

constinit std::atomic<std::uint32_t> generation{1};

[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

std::uint32_t ForkGeneration() noexcept { return generation.load(std::memory_order_relaxed); }

void ForkSafeLock::lock() noexcept {
  const std::uint32_t mine = ForkGeneration();
  std::uint32_t seen = 0;
  while (!holder_.compare_exchange_weak(seen, mine, std::memory_order_acquire, std::memory_order_relaxed)) {
    // Held by a thread of an ancestor: the next exchange takes it over.
    if (seen != 0 && seen != mine) continue;
    if (seen == mine) holder_.wait(mine, std::memory_order_relaxed);
    seen = 0;
  }
}

void ForkSafeLock::unlock() noexcept {
  // libstdc++ 12 notifies nobody if it reads that nobody waits, and only sequential order keeps that read behind the
  // store.
  holder_.store(0, std::memory_order_seq_cst);
  holder_.notify_one();
}

}  // namespace reqtrail
