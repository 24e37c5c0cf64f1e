#pragma once

#include "pg_extension/shared_state.h"

/// The finished work of all requests: the shards, each behind its lock with the notable records that it lost.
///
/// Locking: each function takes one shard's lock at a time and holds no other. Those marked "cannot fail" raise no
/// error, so they may run after the commit record is written. REQUIRES for all: SharedState::Get() != nullptr.
namespace reqtrail::ring {

[[nodiscard]] std::uint64_t Hash(const RequestId& id) noexcept;

/// Adds `work` to the record of `key`. `hash` is Hash(key.id), taken before locking. O(1); cannot fail.
void Merge(const RequestKey& key, std::uint64_t hash, const Work& work) noexcept;

/// Copies of records, palloc'd in the current memory context.
struct Records {
  Record* data;
  std::size_t count;
  void* block;  // what was palloc'd: palloc aligns less than a Record needs

  void Free() const noexcept { pfree(block); }
};

/// All records of one shard, notable ones included, as they were at one moment.
[[nodiscard]] Records CopyShard(std::uint32_t shard);

/// The records of one id: one probe.
[[nodiscard]] Records CopyOf(const RequestId& id);

/// What pg_stat_requests_info tells of the ring. Not one moment: the shards are visited one after the other.
struct Totals {
  ShardTotals recent;            // sums over the shards; overwritten_until: the latest of them
  ShardTotals notable;           // the same of the notable shards
  std::int64_t oldest_retained;  // the earliest last_seen among the records of both; 0: there is none
};
[[nodiscard]] Totals Total() noexcept;

/// Forgets all records and totals. Cannot fail.
void Clear() noexcept;

/// Forgets the records of one id. Cannot fail.
void Erase(const RequestId& id) noexcept;

}  // namespace reqtrail::ring
