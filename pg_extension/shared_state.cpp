#include "pg_extension/shared_state.h"

#include <algorithm>
#include <bit>

#include "pg_extension/settings.h"

namespace reqtrail {
namespace {

constexpr char kName[] = "pg_stat_requests";
constexpr std::uint32_t kMaxShards = 128;
constexpr std::uint32_t kMinRecordsPerShard = 32;

shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

// Few records make few shards: ids do not spread evenly over shards, and a shard of two records would forget at once.
std::uint32_t ShardCountFor(std::uint32_t records) {
  return std::bit_floor(std::clamp(records / kMinRecordsPerShard, 1U, kMaxShards));
}

std::uint32_t LargestShard(std::uint32_t records, std::uint32_t shards) { return (records + shards - 1) / shards; }

constexpr std::size_t kSlotsOffset = (sizeof(SharedState) + alignof(Slot) - 1) / alignof(Slot) * alignof(Slot);

}  // namespace

void SharedState::Install() {
  previous_request_hook = shmem_request_hook;
  shmem_request_hook = &SharedState::OnRequest;
  previous_startup_hook = shmem_startup_hook;
  shmem_startup_hook = &SharedState::OnStartup;
}

Slot* SharedState::SlotAt(std::uint32_t number) noexcept {
  if (number >= slot_count_) return nullptr;
  return reinterpret_cast<Slot*>(reinterpret_cast<char*>(this) + kSlotsOffset) + number;
}

std::uint64_t SharedState::BlockBytes() {
  const auto records = static_cast<std::uint32_t>(MaxRecords());
  const std::uint32_t shards = ShardCountFor(records);
  return add_size(kSlotsOffset, add_size(mul_size(sizeof(Slot), static_cast<Size>(MaxBackends)),
                                         mul_size(Shard::Bytes(LargestShard(records, shards)), shards)));
}

void SharedState::OnRequest() {
  if (previous_request_hook != nullptr) previous_request_hook();
  RequestAddinShmemSpace(add_size(BlockBytes(), PG_CACHE_LINE_SIZE));
  RequestNamedLWLockTranche(kName, static_cast<int>(ShardCountFor(static_cast<std::uint32_t>(MaxRecords()))));
}

void SharedState::OnStartup() {
  if (previous_startup_hook != nullptr) previous_startup_hook();
  bool found = false;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  auto* state = static_cast<SharedState*>(ShmemInitStruct(kName, BlockBytes(), &found));
  if (!found) state->Initialize();
  shard_locks_ = GetNamedLWLockTranche(kName);
  LWLockRelease(AddinShmemInitLock);
  instance_ = state;
}

void SharedState::Initialize() {
  const auto records = static_cast<std::uint32_t>(MaxRecords());
  bytes_ = BlockBytes();
  shard_count_ = ShardCountFor(records);
  shard_bytes_ = Shard::Bytes(LargestShard(records, shard_count_));
  slot_count_ = static_cast<std::uint32_t>(MaxBackends);
  shards_offset_ = kSlotsOffset + (sizeof(Slot) * slot_count_);
  // Without strong randomness the chains are only easier to guess: not worth failing the server's start.
  if (!pg_strong_random(&hash_seed_, sizeof hash_seed_)) hash_seed_ = static_cast<std::uint64_t>(GetCurrentTimestamp());
  pg_atomic_init_u64(&ignored_ids, 0);
  pg_atomic_init_u64(&stats_reset, static_cast<std::uint64_t>(GetCurrentTimestamp()));
  std::memset(static_cast<void*>(SlotAt(0)), 0, sizeof(Slot) * slot_count_);
  for (std::uint32_t i = 0; i < shard_count_; ++i) {
    const std::uint32_t extra = i < records % shard_count_ ? 1 : 0;
    Shard::Create(&ShardAt(i), (records / shard_count_) + extra);
  }
}

}  // namespace reqtrail
