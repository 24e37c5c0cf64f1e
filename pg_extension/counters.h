#pragma once

#include <cstdint>
#include <type_traits>

/// The one table of what is recorded per request. The struct, the merge and the SQL row (functions.cpp) follow from it,
/// in this order. To add a counter: add a line here, its SQL column in sql/pg_stat_requests--*.sql (same place) and its
/// line in docs/pg_stat_requests.md. Times are kept in nanoseconds and shown in milliseconds; moments are
/// microseconds since 2000-01-01 UTC (TimestampTz).
#define REQTRAIL_COUNTERS(X)   \
  X(kEarliest, first_seen)     \
  X(kLatest, last_seen)        \
  X(kSum, transactions)        \
  X(kSum, rollbacks)           \
  X(kSum, statements)          \
  X(kSum, errors)              \
  X(kSumTime, total_time)      \
  X(kMaxTime, max_time)        \
  X(kSum, rows)                \
  X(kSum, shared_blks_hit)     \
  X(kSum, shared_blks_read)    \
  X(kSum, shared_blks_dirtied) \
  X(kSum, shared_blks_written) \
  X(kSum, wal_records)         \
  X(kSum, wal_fpi)             \
  X(kSum, wal_bytes)

namespace reqtrail {

/// How two values of a counter become one, and how it is shown: a moment, a number or a duration.
enum class CounterKind : unsigned char { kEarliest, kLatest, kSum, kSumTime, kMaxTime };

/// What was recorded for one key. Plain data, all zero when nothing was recorded.
struct Counters {
#define REQTRAIL_FIELD(kind, name) std::int64_t name = 0;
  REQTRAIL_COUNTERS(REQTRAIL_FIELD)
#undef REQTRAIL_FIELD
};
static_assert(std::is_standard_layout_v<Counters> && std::is_trivially_copyable_v<Counters>);

inline constexpr int kCounterCount = sizeof(Counters) / sizeof(std::int64_t);

template <CounterKind kKind>
constexpr std::int64_t MergeCounter(std::int64_t a, std::int64_t b) noexcept {
  if constexpr (kKind == CounterKind::kEarliest) return b < a ? b : a;
  if constexpr (kKind == CounterKind::kLatest || kKind == CounterKind::kMaxTime) return b > a ? b : a;
  return a + b;
}

/// Adds `from` to `into`. REQUIRES: both have first_seen and last_seen set.
constexpr void Merge(Counters& into, const Counters& from) noexcept {
#define REQTRAIL_MERGE(kind, name) into.name = MergeCounter<CounterKind::kind>(into.name, from.name);
  REQTRAIL_COUNTERS(REQTRAIL_MERGE)
#undef REQTRAIL_MERGE
}

}  // namespace reqtrail
