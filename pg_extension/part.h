#pragma once

#include "pg_extension/pg.h"
#include "pg_extension/request_key.h"
#include "pg_extension/resource_usage.h"
#include "pg_extension/work.h"

namespace reqtrail {

/// A part of a transaction: all that it does for one request by one role, until another id, another role or its end
/// comes. Backend-local. Nothing here raises an error or allocates; what goes to the ring takes one of its locks.
struct Part {
  bool between_transactions = false;  // all there is are errors reported while no transaction was under way
  RequestKey key;
  std::uint64_t hash = 0;  // ring::Hash(key.id)
  std::int64_t since = 0;  // TimestampTz of the statement with which it was opened
  Work work;               // but for what ResourceUsage measures, which is taken at the flush
  ResourceUsage base;      // where that starts

  /// Whether work for `id` by the role in effect belongs to it.
  [[nodiscard]] bool IsOf(const RequestId& id) const noexcept;

  /// Adds what was done until `now` (clock::Now) to the ring, and starts again with nothing.
  void Flush(std::int64_t now) noexcept;
};

/// The role outside of SECURITY DEFINER functions: SET ROLE counts, a function's owner does not.
[[nodiscard]] inline Oid RoleInEffect() noexcept { return GetOuterUserId(); }

/// Makes `key` that of work for `id` in this database by the role in effect.
void FillKey(RequestKey& key, const RequestId& id) noexcept;

/// Adds to the ring that a transaction ended at `now` (clock::Now), and nothing else. `hash` is ring::Hash(key.id).
void CountTransaction(const RequestKey& key, std::uint64_t hash, std::int64_t now, bool rolled_back) noexcept;

}  // namespace reqtrail
