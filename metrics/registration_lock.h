#pragma once

#include <atomic>
#include <cstdint>

#include "metrics/process_token.h"
#include "metrics/threads_lock.h"

namespace reqtrail {

/// Held by one thread of all processes of a segment at a time, while it changes the table: a word in the segment that
/// names who has it. A holder that was killed is found out and replaced, so that nobody waits for the dead; for a
/// living one (a stopped process, say) nobody waits longer than two seconds.
class RegistrationLock {
 public:
  explicit RegistrationLock(std::atomic<ProcessToken>& holder) noexcept;
  RegistrationLock(const RegistrationLock&) = delete;
  RegistrationLock& operator=(const RegistrationLock&) = delete;
  ~RegistrationLock();

  /// False: somebody else keeps it.
  [[nodiscard]] bool is_held() const noexcept { return is_held_; }

  /// Whether it was taken from a holder that was killed, which may have left its work half done.
  [[nodiscard]] bool was_abandoned() const noexcept { return was_abandoned_; }

 private:
  [[nodiscard]] bool TakeFrom(ProcessToken& seen) noexcept;

  ThreadsLock threads_;  ///< first: a token cannot tell the threads of a process apart
  std::atomic<ProcessToken>& holder_;
  ProcessToken self_;
  bool is_held_ = false;
  bool was_abandoned_ = false;
};

}  // namespace reqtrail
