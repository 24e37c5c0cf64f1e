#pragma once

#include <ctime>

#include "pg_extension/pg.h"

namespace reqtrail::clock {

inline constexpr std::int64_t kNanosecondsPerMicrosecond = 1000;

/// Now, in nanoseconds since 2000-01-01 UTC. One clock for moments and for durations, so that one reading can end a
/// duration, start the next and be the time of a row, and so that it can be compared with when the server says that a
/// message came. Where somebody sets it, durations under way are off by as much (never negative: see Since).
[[nodiscard]] inline std::int64_t Now() noexcept {
  timespec now{};
  static_cast<void>(clock_gettime(CLOCK_REALTIME, &now));  // fails for no clock that exists
  constexpr std::int64_t kEpoch = std::int64_t{POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE} * SECS_PER_DAY;
  return ((static_cast<std::int64_t>(now.tv_sec) - kEpoch) * 1'000'000'000) + now.tv_nsec;
}

/// When the client's message that is being worked on came; as Now.
[[nodiscard]] inline std::int64_t MessageArrival() noexcept {
  return GetCurrentStatementStartTimestamp() * kNanosecondsPerMicrosecond;
}

/// A moment as a TimestampTz.
[[nodiscard]] inline std::int64_t ToTimestamp(std::int64_t moment) noexcept {
  return moment / kNanosecondsPerMicrosecond;
}

/// From `start` to `end`; 0 if the clock was set back in between.
[[nodiscard]] inline std::int64_t Since(std::int64_t start, std::int64_t end) noexcept {
  return end > start ? end - start : 0;
}

}  // namespace reqtrail::clock
