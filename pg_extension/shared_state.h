#pragma once

#include "pg_extension/events.h"
#include "pg_extension/pg.h"
#include "pg_extension/shard.h"
#include "pg_extension/slot.h"

namespace reqtrail {

/// The extension's shared memory: one block of [header | one slot per backend | the shards | the notable shards | the
/// last errors | the last slow statements], sized at server start by the settings pg_stat_requests.max* and
/// MaxBackends, never changed, made anew (empty) after a crash restart.
///
/// Locking: each shard has an LWLock (tranche pg_stat_requests), which is that of its notable shard too; each of the
/// two event rings has one. Nobody holds two. Slots: see slot.h. The header's plain fields are constant once the server
/// runs; the atomic ones need no lock.
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
    return *reinterpret_cast<Shard*>(At(shards_offset_) + (shard_bytes_ * number));
  }
  /// What ShardAt(number) loses although it is notable goes there.
  [[nodiscard]] Shard& NotableShardAt(std::uint32_t number) noexcept {
    return *reinterpret_cast<Shard*>(At(notable_offset_) + (notable_bytes_ * number));
  }
  [[nodiscard]] static LWLock* LockOf(std::uint32_t shard) noexcept { return &locks_[shard].lock; }

  [[nodiscard]] EventRing<ErrorEvent>& Errors() noexcept {
    return *reinterpret_cast<EventRing<ErrorEvent>*>(At(errors_offset_));
  }
  [[nodiscard]] LWLock* ErrorsLock() const noexcept { return &locks_[shard_count_].lock; }
  [[nodiscard]] EventRing<SlowEvent>& SlowStatements() noexcept {
    return *reinterpret_cast<EventRing<SlowEvent>*>(At(slow_offset_));
  }
  [[nodiscard]] LWLock* SlowStatementsLock() const noexcept { return &locks_[shard_count_ + 1].lock; }

  [[nodiscard]] std::uint32_t SlotCount() const noexcept { return slot_count_; }
  /// nullptr for a process that is no backend (number >= SlotCount()).
  [[nodiscard]] Slot* SlotAt(std::uint32_t number) noexcept;

  /// Forgets everything that is recorded. REQUIRES: nobody else uses the shared memory.
  void Forget() noexcept;

  /// Ids that the setting refused since the last reset.
  pg_atomic_uint64 ignored_ids;
  /// TimestampTz of the last reset, or of the server's start.
  pg_atomic_uint64 stats_reset;

 private:
  static inline SharedState* instance_ = nullptr;
  static inline LWLockPadded* locks_ = nullptr;  // one per shard, and one per event ring

  static void OnRequest();
  static void OnStartup();
  void Initialize();

  [[nodiscard]] char* At(std::uint64_t offset) noexcept { return reinterpret_cast<char*>(this) + offset; }

  std::uint64_t bytes_;           // size of the whole block
  std::uint64_t hash_seed_;       // random per server start
  std::uint64_t shards_offset_;   // where the first shard is
  std::uint64_t shard_bytes_;     // distance between two shards
  std::uint64_t notable_offset_;  // the same of the notable shards
  std::uint64_t notable_bytes_;
  std::uint64_t errors_offset_;
  std::uint64_t slow_offset_;
  std::uint32_t shard_count_;  // a power of two
  std::uint32_t slot_count_;   // MaxBackends
};
static_assert(std::is_trivially_destructible_v<SharedState>);

}  // namespace reqtrail
