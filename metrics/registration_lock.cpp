#include "metrics/registration_lock.h"

#include <sched.h>

#include <chrono>

namespace reqtrail {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(2);

// A holder that cannot be seen is not replaced at once: where processes do not share a pid namespace it may live.
constexpr auto kPatienceWithTheDead = std::chrono::milliseconds(20);

}  // namespace

RegistrationLock::RegistrationLock(std::atomic<ProcessToken>& holder) noexcept
    : holder_(holder), self_(OwnProcessToken()) {
  ProcessToken seen = 0;
  if (TakeFrom(seen)) return;
  const Clock::time_point start = Clock::now();
  Clock::time_point since = start;
  for (Clock::time_point now = start; now - start < kPatience; now = Clock::now()) {
    const ProcessToken waited_for = seen;
    // Our own token: a thread cannot have left it, as we hold `threads_`.
    const bool is_dead = seen == self_ || (now - since >= kPatienceWithTheDead && !IsAlive(seen));
    if (!is_dead) seen = 0;
    if (TakeFrom(seen)) {
      was_abandoned_ = is_dead;
      return;
    }
    if (seen != waited_for) since = now;
    ::sched_yield();
  }
}

RegistrationLock::~RegistrationLock() {
  if (is_held_) holder_.store(0, std::memory_order_release);
}

// `seen` becomes who has it.
bool RegistrationLock::TakeFrom(ProcessToken& seen) noexcept {
  is_held_ = holder_.compare_exchange_strong(seen, self_, std::memory_order_acq_rel, std::memory_order_acquire);
  return is_held_;
}

}  // namespace reqtrail
