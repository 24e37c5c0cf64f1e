#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

/// The one table of what is recorded per request. The struct, the merge, the SQL row (functions.cpp) and the line in
/// the server log (finished_request.cpp) follow from it, in this order. To add a counter: add a line here, its SQL
/// column in sql/pg_stat_requests--*.sql (same place) and its line in docs/pg_stat_requests.md. Times are kept in
/// nanoseconds and shown in milliseconds; moments are microseconds since 2000-01-01 UTC (TimestampTz).
#define REQTRAIL_COUNTERS(X)            \
  X(kEarliest, first_seen)              \
  X(kLatest, last_seen)                 \
  X(kSum, transactions)                 \
  X(kSum, rollbacks)                    \
  X(kSum, statements)                   \
  X(kSum, errors)                       \
  X(kSqlState, last_sqlstate)           \
  X(kSum, rows)                         \
  X(kSumTime, total_time)               \
  X(kMaxTime, max_time)                 \
  X(kSumTime, plan_time)                \
  X(kSumTime, commit_time)              \
  X(kSumTime, idle_in_transaction_time) \
  X(kSum, shared_blks_hit)              \
  X(kSum, shared_blks_read)             \
  X(kSum, shared_blks_dirtied)          \
  X(kSum, shared_blks_written)          \
  X(kSum, local_blks_hit)               \
  X(kSum, local_blks_read)              \
  X(kSum, local_blks_dirtied)           \
  X(kSum, local_blks_written)           \
  X(kSum, temp_blks_read)               \
  X(kSum, temp_blks_written)            \
  X(kSumTime, blk_read_time)            \
  X(kSumTime, blk_write_time)           \
  X(kSumTime, temp_blk_read_time)       \
  X(kSumTime, temp_blk_write_time)      \
  X(kSum, wal_records)                  \
  X(kSum, wal_fpi)                      \
  X(kSum, wal_bytes)                    \
  X(kSumTime, user_time)                \
  X(kSumTime, system_time)              \
  X(kBackends, backends)                \
  X(kSum, statements_dropped)

namespace reqtrail {

/// How two values of a counter become one, and how it is shown: a moment, a number, a duration, a SQLSTATE (packed as
/// in the server; 0: none; the later one counts), or a set of backends.
enum class CounterKind : unsigned char { kEarliest, kLatest, kSum, kSumTime, kMaxTime, kSqlState, kBackends };

/// What was recorded for one key. Plain data, all zero when nothing was recorded.
struct Counters {
#define REQTRAIL_FIELD(kind, name) std::int64_t name = 0;
  REQTRAIL_COUNTERS(REQTRAIL_FIELD)
#undef REQTRAIL_FIELD
};
static_assert(std::is_standard_layout_v<Counters> && std::is_trivially_copyable_v<Counters>);

inline constexpr int kCounterCount = sizeof(Counters) / sizeof(std::int64_t);

/// A sum that starts again rather than to be undefined: a file may hold any numbers.
constexpr std::int64_t AddWrapping(std::int64_t a, std::int64_t b) noexcept {
  return std::bit_cast<std::int64_t>(std::bit_cast<std::uint64_t>(a) + std::bit_cast<std::uint64_t>(b));
}

template <CounterKind kKind>
constexpr std::int64_t MergeCounter(std::int64_t a, std::int64_t b) noexcept {
  if constexpr (kKind == CounterKind::kEarliest) return std::min(a, b);
  if constexpr (kKind == CounterKind::kLatest || kKind == CounterKind::kMaxTime) return std::max(a, b);
  if constexpr (kKind == CounterKind::kSqlState) return b != 0 ? b : a;
  if constexpr (kKind == CounterKind::kBackends) return a | b;
  return AddWrapping(a, b);
}

/// Adds `from`, which came later, to `into`. REQUIRES: both have first_seen and last_seen set.
constexpr void Merge(Counters& into, const Counters& from) noexcept {
#define REQTRAIL_MERGE(kind, name) into.name = MergeCounter<CounterKind::kind>(into.name, from.name);
  REQTRAIL_COUNTERS(REQTRAIL_MERGE)
#undef REQTRAIL_MERGE
}

/// A set of one backend. The set tells 64 apart, by process id.
constexpr std::int64_t BackendSet(int pid) noexcept {
  return std::bit_cast<std::int64_t>(std::uint64_t{1} << (static_cast<unsigned>(pid) % 64U));
}

/// How many backends a set has.
constexpr int CountBackends(std::int64_t set) noexcept { return std::popcount(std::bit_cast<std::uint64_t>(set)); }

}  // namespace reqtrail
