#pragma once

#include <atomic>
#include <cstdint>

namespace reqtrail {

/// How many forks lie between this process and the one that loaded the library, plus one. Async-signal-safe.
[[nodiscard]] std::uint32_t ForkGeneration() noexcept;

/// A mutex (BasicLockable) that is never held in a child after fork: one that a thread of the parent held at that
/// moment is free in the child, which has no such thread. What it guards may then be as that thread left it half-way,
/// so it guards only what is safe to use like that. Not recursive. A fork never waits for it.
class ForkSafeLock {
 public:
  void lock() noexcept;
  void unlock() noexcept;

 private:
  std::atomic<std::uint32_t> holder_{0};  ///< 0: free, else the generation of the process that holds it
};

}  // namespace reqtrail
