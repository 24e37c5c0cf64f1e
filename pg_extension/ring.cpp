#include "pg_extension/ring.h"

#include <algorithm>

namespace reqtrail::ring {

std::uint64_t Hash(const RequestId& id) noexcept { return HashRequestId(id.View(), SharedState::Get()->HashSeed()); }

void Merge(const RequestKey& key, std::uint64_t hash, const Counters& counters) noexcept {
  SharedState* state = SharedState::Get();
  const std::uint32_t number = state->ShardNumber(hash);
  LWLock* lock = SharedState::LockOf(number);
  LWLockAcquire(lock, LW_EXCLUSIVE);
  state->ShardAt(number).Merge(key, hash, counters);
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
  const Shard& source = SharedState::Get()->ShardAt(shard);
  LWLock* lock = SharedState::LockOf(shard);
  // The capacity is constant, so that the memory can be taken before the lock.
  Records copies = Allocate(source.totals().capacity);
  LWLockAcquire(lock, LW_SHARED);
  copies.count = source.totals().used;
  std::memcpy(static_cast<void*>(copies.data), source.begin(), sizeof(Record) * copies.count);
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
    LWLockRelease(lock);
    if (copies.count <= limit) return copies;
    limit = copies.count * 2;
    copies.Free();
  }
}

Totals Total() noexcept {
  Totals totals{};
  SharedState* state = SharedState::Get();
  for (std::uint32_t i = 0; i < state->ShardCount(); ++i) {
    LWLock* lock = SharedState::LockOf(i);
    LWLockAcquire(lock, LW_SHARED);
    const Shard& shard = state->ShardAt(i);
    const ShardTotals& part = shard.totals();
    totals.sum.capacity += part.capacity;
    totals.sum.used += part.used;
    totals.sum.merged += part.merged;
    totals.sum.overwritten += part.overwritten;
    totals.sum.overwritten_until = std::max(totals.sum.overwritten_until, part.overwritten_until);
    for (const Record& record : shard) {
      const std::int64_t seen = record.counters.last_seen;
      if (totals.oldest_retained == 0 || seen < totals.oldest_retained) totals.oldest_retained = seen;
    }
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
    LWLockRelease(lock);
  }
}

}  // namespace reqtrail::ring
