#include "pg_extension/ring.h"

#include <algorithm>

#include "pg_extension/settings.h"

namespace reqtrail::ring {

std::uint64_t Hash(const RequestId& id) noexcept { return HashRequestId(id.View(), SharedState::Get()->HashSeed()); }

void Merge(const RequestKey& key, std::uint64_t hash, const Work& work) noexcept {
  SharedState* state = SharedState::Get();
  const std::uint32_t number = state->ShardNumber(hash);
  const Shard::Refuge refuge{.shard = &state->NotableShardAt(number), .duration = NotableDuration()};
  LWLock* lock = SharedState::LockOf(number);
  LWLockAcquire(lock, LW_EXCLUSIVE);
  state->ShardAt(number).Merge(key, hash, work, refuge);
  LWLockRelease(lock);
}

namespace {

Records Allocate(std::size_t limit) {
  const std::size_t bytes = (sizeof(Record) * limit) + alignof(Record);
  auto* block = static_cast<char*>(MemoryContextAllocHuge(CurrentMemoryContext, bytes));
  const std::size_t beyond = reinterpret_cast<std::uintptr_t>(block) % alignof(Record);
  return {.data = reinterpret_cast<Record*>(block + (alignof(Record) - beyond)), .count = 0, .block = block};
}

}  // namespace

Records CopyShard(std::uint32_t shard) {
  SharedState* state = SharedState::Get();
  const Shard& recent = state->ShardAt(shard);
  const Shard& notable = state->NotableShardAt(shard);
  LWLock* lock = SharedState::LockOf(shard);
  // The capacity is constant, so that the memory can be taken before the lock.
  Records copies = Allocate(recent.totals().capacity + notable.totals().capacity);
  const auto append = [&copies](const Shard& source) {
    std::memcpy(static_cast<void*>(copies.data + copies.count), source.begin(), sizeof(Record) * source.totals().used);
    copies.count += source.totals().used;
  };
  LWLockAcquire(lock, LW_SHARED);
  append(recent);
  append(notable);
  LWLockRelease(lock);
  return copies;
}

Records CopyOf(const RequestId& id) {
  SharedState* state = SharedState::Get();
  const std::uint64_t hash = Hash(id);
  const std::uint32_t number = state->ShardNumber(hash);
  LWLock* lock = SharedState::LockOf(number);
  for (std::size_t limit = 16;;) {
    Records copies = Allocate(limit);
    LWLockAcquire(lock, LW_SHARED);
    copies.count = state->ShardAt(number).CopyMatches(id, hash, copies.data, limit);
    const std::size_t first = std::min(copies.count, limit);
    copies.count += state->NotableShardAt(number).CopyMatches(id, hash, copies.data + first, limit - first);
    LWLockRelease(lock);
    if (copies.count <= limit) return copies;
    limit = copies.count * 2;
    copies.Free();
  }
}

namespace {

void AddTotals(ShardTotals& sum, const Shard& shard, std::int64_t& oldest) noexcept {
  const ShardTotals& part = shard.totals();
  sum.capacity += part.capacity;
  sum.used += part.used;
  sum.merged += part.merged;
  sum.overwritten += part.overwritten;
  sum.overwritten_until = std::max(sum.overwritten_until, part.overwritten_until);
  for (const Record& record : shard) {
    const std::int64_t seen = record.work.counters.last_seen;
    if (oldest == 0 || seen < oldest) oldest = seen;
  }
}

}  // namespace

Totals Total() noexcept {
  Totals totals{};
  SharedState* state = SharedState::Get();
  for (std::uint32_t i = 0; i < state->ShardCount(); ++i) {
    LWLock* lock = SharedState::LockOf(i);
    LWLockAcquire(lock, LW_SHARED);
    AddTotals(totals.recent, state->ShardAt(i), totals.oldest_retained);
    AddTotals(totals.notable, state->NotableShardAt(i), totals.oldest_retained);
    LWLockRelease(lock);
  }
  return totals;
}

void Clear() noexcept {
  SharedState* state = SharedState::Get();
  for (std::uint32_t i = 0; i < state->ShardCount(); ++i) {
    LWLock* lock = SharedState::LockOf(i);
    LWLockAcquire(lock, LW_EXCLUSIVE);
    state->ShardAt(i).Clear();
    state->NotableShardAt(i).Clear();
    LWLockRelease(lock);
  }
}

void Erase(const RequestId& id) noexcept {
  SharedState* state = SharedState::Get();
  const std::uint64_t hash = Hash(id);
  const std::uint32_t number = state->ShardNumber(hash);
  LWLock* lock = SharedState::LockOf(number);
  LWLockAcquire(lock, LW_EXCLUSIVE);
  state->ShardAt(number).Erase(id, hash);
  state->NotableShardAt(number).Erase(id, hash);
  LWLockRelease(lock);
}

}  // namespace reqtrail::ring
