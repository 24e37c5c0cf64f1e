#pragma once

#include "pg_extension/request_key.h"
#include "pg_extension/settings.h"
#include "pg_extension/work.h"

/// pg_stat_requests.log_min_duration: what a request did in one transaction, as one line of the server log.
namespace reqtrail::finished_request {

/// Writes the line: LOG, `request: {...}` with the numbers as JSON, to the server log only. Cannot fail: whatever error
/// comes of it (no memory, another library's hook) is dropped with the line. May run after the commit record is
/// written.
void Log(const RequestKey& key, const Counters& counters) noexcept;

/// Log, if the request took so long in its transaction that the setting wants it. REQUIRES: counters.first_seen and
/// last_seen are set.
inline void LogIfLong(const RequestKey& key, const Work& work) noexcept {
  constexpr std::int64_t kNanosecondsPerMicrosecond = 1000;
  const std::int64_t took = (work.counters.last_seen - work.counters.first_seen) * kNanosecondsPerMicrosecond;
  if (took >= LogMinDuration()) Log(key, work.counters);
}

}  // namespace reqtrail::finished_request
