#pragma once

#include "pg_extension/request_key.h"

namespace reqtrail {

/// The extension's settings (pg_stat_requests.*). Backend-local, no locks.

/// The full name of the setting that an application sets.
inline constexpr char kRequestIdSetting[] = "pg_stat_requests.request_id";

/// pg_stat_requests.track: which statements are recorded.
enum class Track : unsigned char { kNone, kTop, kAll };

namespace detail {
// Written by the hooks of the settings and by UseCommentId.
inline const RequestId* request_id_in_effect = nullptr;
inline const RequestId* recorded_request_id = nullptr;  // the same, or nullptr with track = none
inline bool comments_count = false;                     // parse_comments is on, and the setting has no id

inline int track = static_cast<int>(Track::kTop);
inline bool track_cpu = false;
inline int slow_statement_threshold = 1000;
inline int notable_duration = 1000;
inline int log_min_duration = -1;

/// A duration in milliseconds as nanoseconds; -1 (never) is longer than any.
constexpr std::int64_t Nanoseconds(int milliseconds) noexcept {
  return milliseconds < 0 ? INT64_MAX : std::int64_t{milliseconds} * 1'000'000;
}
}  // namespace detail

/// Defines the settings and reserves their prefix. Call once, from _PG_init in the postmaster.
void DefineSettings();

/// How many of each are held: pg_stat_requests.max, max_notable, max_errors, max_slow.
[[nodiscard]] int MaxRecords() noexcept;
[[nodiscard]] int MaxNotable() noexcept;
[[nodiscard]] int MaxErrors() noexcept;
[[nodiscard]] int MaxSlowStatements() noexcept;

/// pg_stat_requests.save: whether the statistics survive a clean restart.
[[nodiscard]] bool SavesStatistics() noexcept;

/// pg_stat_requests.parse_comments: whether SQL comments are looked at.
[[nodiscard]] bool ParsesComments() noexcept;

/// pg_stat_requests.log_request_id: whether lines of the server log carry the id.
[[nodiscard]] bool LogsRequestId() noexcept;

/// pg_stat_requests.track = all: statements inside of others are told apart.
[[nodiscard]] inline bool TracksNested() noexcept { return detail::track == static_cast<int>(Track::kAll); }

/// pg_stat_requests.track_cpu: whether CPU time is measured.
[[nodiscard]] inline bool TracksCpu() noexcept { return detail::track_cpu; }

/// In nanoseconds; INT64_MAX: never.
[[nodiscard]] inline std::int64_t SlowStatementThreshold() noexcept {
  return detail::Nanoseconds(detail::slow_statement_threshold);
}
[[nodiscard]] inline std::int64_t NotableDuration() noexcept { return detail::Nanoseconds(detail::notable_duration); }
[[nodiscard]] inline std::int64_t LogMinDuration() noexcept { return detail::Nanoseconds(detail::log_min_duration); }

/// `id` is the one that a comment named, or nullptr; it is in effect where the setting has none. It must stay valid
/// until the next call.
void UseCommentId(const RequestId* id) noexcept;

/// The id in effect, by the setting or else by a comment; nullptr: none. Not owned by the caller, and valid only until
/// the next statement, or the end of the transaction.
[[nodiscard]] inline const RequestId* RequestIdInEffect() noexcept { return detail::request_id_in_effect; }

/// The id that work is recorded for: the one in effect, unless pg_stat_requests.track is none.
[[nodiscard]] inline const RequestId* RecordedRequestId() noexcept { return detail::recorded_request_id; }

}  // namespace reqtrail
