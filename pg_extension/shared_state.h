#pragma once

#include "pg_extension/pg.h"
#include "pg_extension/shard.h"
#include "pg_extension/slot.h"

namespace reqtrail {

/// The extension's shared memory: one block of [header | one slot per backend | the shards], sized at server start by
/// pg_stat_requests.max and MaxBackends, never changed, made anew (empty) after a crash restart.
///
/// Locking: each shard has an LWLock of its own (tranche pg_stat_requests); nobody holds two. Slots: see slot.h. The
/// header's plain fields are constant once the server runs; the atomic ones need no lock.
class SharedState {
 public:
  /// Chains onto the shmem hooks. Call once, from _PG_init in the postmaster, after the settings are defined.
  static void Install();

  /// The one instance; nullptr until the shared memory is attached.
  [[nodiscard]] static SharedState* Get() noexcept { return instance_; }

  [[nodiscard]] std::uint64_t HashSeed() const noexcept { return hash_seed_; }
  [[nodiscard]] std::uint32_t ShardCount() const noexcept { return shard_count_; }
  [[nodiscard]] std::uint64_t Bytes() const noexcept { return bytes_; }

  /// Number of the shard that keeps ids with this hash.
  [[nodiscard]] std::uint32_t ShardNumber(std::uint64_t hash) const noexcept {
    return static_cast<std::uint32_t>(hash >> 32U) & (shard_count_ - 1);
  }
  [[nodiscard]] Shard& ShardAt(std::uint32_t number) noexcept {
    return *reinterpret_cast<Shard*>(reinterpret_cast<char*>(this) + shards_offset_ + (shard_bytes_ * number));
  }
  [[nodiscard]] static LWLock* LockOf(std::uint32_t shard) noexcept { return &shard_locks_[shard].lock; }

  [[nodiscard]] std::uint32_t SlotCount() const noexcept { return slot_count_; }
  /// nullptr for a process that is no backend (number >= SlotCount()).
  [[nodiscard]] Slot* SlotAt(std::uint32_t number) noexcept;

  /// Ids that the setting refused since the last reset.
  pg_atomic_uint64 ignored_ids;
  /// TimestampTz of the last reset, or of the server's start.
  pg_atomic_uint64 stats_reset;

 private:
  static inline SharedState* instance_ = nullptr;
  static inline LWLockPadded* shard_locks_ = nullptr;  // one per shard

  static std::uint64_t BlockBytes();
  static void OnRequest();
  static void OnStartup();
  void Initialize();

  std::uint64_t bytes_;          // size of the whole block
  std::uint64_t hash_seed_;      // random per server start
  std::uint64_t shards_offset_;  // where the first shard is
  std::uint64_t shard_bytes_;    // distance between two shards
  std::uint32_t shard_count_;    // a power of two
  std::uint32_t slot_count_;     // MaxBackends
};
static_assert(std::is_trivially_destructible_v<SharedState>);

}  // namespace reqtrail
