#pragma once

#include "pg_extension/request_key.h"

namespace reqtrail {

/// The extension's settings (pg_stat_requests.*). Backend-local, no locks.

/// The full name of the setting that an application sets.
inline constexpr char kRequestIdSetting[] = "pg_stat_requests.request_id";

namespace detail {
inline const RequestId* request_id_in_effect = nullptr;  // written by the setting's assign hook and UseCommentId
inline bool comments_count = false;                      // parse_comments is on, and the setting has no id
}  // namespace detail

/// Defines the settings and reserves their prefix. Call once, from _PG_init in the postmaster.
void DefineSettings();

/// pg_stat_requests.max: how many records the ring holds.
[[nodiscard]] int MaxRecords() noexcept;

/// pg_stat_requests.parse_comments: whether SQL comments are looked at.
[[nodiscard]] bool ParsesComments() noexcept;

/// pg_stat_requests.log_request_id: whether lines of the server log carry the id.
[[nodiscard]] bool LogsRequestId() noexcept;

/// `id` is the one that a comment named, or nullptr; it is in effect where the setting has none. It must stay valid
/// until the next call.
void UseCommentId(const RequestId* id) noexcept;

/// The id in effect, by the setting or else by a comment; nullptr: none. Not owned by the caller, and valid only until
/// the next statement, or the end of the transaction.
[[nodiscard]] inline const RequestId* RequestIdInEffect() noexcept { return detail::request_id_in_effect; }

}  // namespace reqtrail
