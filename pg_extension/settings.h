#pragma once

#include "pg_extension/request_key.h"

namespace reqtrail {

/// The extension's settings (pg_stat_requests.*). Backend-local, no locks.

/// The full name of the setting that an application sets.
inline constexpr char kRequestIdSetting[] = "pg_stat_requests.request_id";

namespace detail {
inline const RequestId* request_id_in_effect = nullptr;  // written by the setting's assign hook
}  // namespace detail

/// Defines the settings and reserves their prefix. Call once, from _PG_init in the postmaster.
void DefineSettings();

/// pg_stat_requests.max: how many records the ring holds.
[[nodiscard]] int MaxRecords() noexcept;

/// The id in effect by the setting; nullptr: none. Owned by the setting, so valid only until the setting next changes:
/// until the next statement, or the end of the transaction.
[[nodiscard]] inline const RequestId* RequestIdInEffect() noexcept { return detail::request_id_in_effect; }

}  // namespace reqtrail
