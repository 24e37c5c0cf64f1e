#pragma once

#include <atomic>
#include <cstdint>

namespace reqtrail {

/// A process of this host: its pid and when it started, so that a pid used again is another process. 0 is none. The
/// pid is that of this process' own pid namespace: services that share a segment share one.
using ProcessToken = std::uint64_t;

[[nodiscard]] constexpr std::uint32_t PidOf(ProcessToken token) noexcept {
  constexpr unsigned kPidShift = 40;
  constexpr std::uint64_t kPidMask = 0x3fffff;
  return static_cast<std::uint32_t>((token >> kPidShift) & kPidMask);
}

/// Whether the process runs. A zombie does not; one that cannot be examined does. Reads /proc: not for hot paths.
[[nodiscard]] bool IsAlive(ProcessToken token) noexcept;

namespace internal {
/// 0 until asked for, and again in a child after fork.
inline std::atomic<ProcessToken> own_process_token{0};
ProcessToken FindOwnProcessToken() noexcept;
}  // namespace internal

/// The process that asks. One load but for the first call of a process. Any thread.
[[nodiscard]] inline ProcessToken OwnProcessToken() noexcept {
  const ProcessToken token = internal::own_process_token.load(std::memory_order_relaxed);
  return token != 0 ? token : internal::FindOwnProcessToken();
}

}  // namespace reqtrail
