#pragma once

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace reqtrail {

/// Held by one thread of this process at a time, for short work on a segment. It knows the pid of who has it: a child
/// that finds its parent's pid, copied over fork in the middle of such work, takes it. Not recursive.
class ThreadsLock {
 public:
  ThreadsLock() noexcept {
    std::int64_t seen = 0;
    while (!holder_.compare_exchange_weak(seen, self_, std::memory_order_acquire)) {
      if (seen != self_) continue;
      ::sched_yield();
      seen = 0;
    }
  }
  ThreadsLock(const ThreadsLock&) = delete;
  ThreadsLock& operator=(const ThreadsLock&) = delete;
  ~ThreadsLock() { holder_.store(0, std::memory_order_release); }

 private:
  static inline std::atomic<std::int64_t> holder_{0};
  std::int64_t self_ = ::getpid();
};

}  // namespace reqtrail
