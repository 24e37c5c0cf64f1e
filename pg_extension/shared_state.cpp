#include "pg_extension/shared_state.h"

#include <algorithm>
#include <bit>

#include "pg_extension/restart.h"
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

std::uint32_t ShareOf(std::uint32_t shard, std::uint32_t records, std::uint32_t shards) {
  return (records / shards) + (shard < records % shards ? 1 : 0);
}

Size Aligned(Size bytes) { return TYPEALIGN(PG_CACHE_LINE_SIZE, bytes); }

// Where each part of the block starts.
struct Layout {
  std::uint32_t shards;
  std::uint32_t slots;
  Size shard_bytes;
  Size notable_bytes;
  Size slots_at;
  Size shards_at;
  Size notable_at;
  Size errors_at;
  Size slow_at;
  Size end;
};

Layout MakeLayout() {
  const auto records = static_cast<std::uint32_t>(MaxRecords());
  Layout layout{};
  layout.shards = ShardCountFor(records);
  layout.slots = static_cast<std::uint32_t>(MaxBackends);
  layout.shard_bytes = Shard::Bytes(LargestShard(records, layout.shards));
  layout.notable_bytes = Shard::Bytes(LargestShard(static_cast<std::uint32_t>(MaxNotable()), layout.shards));
  layout.slots_at = Aligned(sizeof(SharedState));
  layout.shards_at = Aligned(add_size(layout.slots_at, mul_size(sizeof(Slot), layout.slots)));
  layout.notable_at = Aligned(add_size(layout.shards_at, mul_size(layout.shard_bytes, layout.shards)));
  layout.errors_at = Aligned(add_size(layout.notable_at, mul_size(layout.notable_bytes, layout.shards)));
  const Size errors = EventRing<ErrorEvent>::Bytes(static_cast<std::uint32_t>(MaxErrors()));
  layout.slow_at = Aligned(add_size(layout.errors_at, errors));
  const Size slow = EventRing<SlowEvent>::Bytes(static_cast<std::uint32_t>(MaxSlowStatements()));
  layout.end = Aligned(add_size(layout.slow_at, slow));
  return layout;
}

int LockCount() { return static_cast<int>(ShardCountFor(static_cast<std::uint32_t>(MaxRecords()))) + 2; }

}  // namespace

void SharedState::Install() {
  previous_request_hook = shmem_request_hook;
  shmem_request_hook = &SharedState::OnRequest;
  previous_startup_hook = shmem_startup_hook;
  shmem_startup_hook = &SharedState::OnStartup;
}

Slot* SharedState::SlotAt(std::uint32_t number) noexcept {
  if (number >= slot_count_) return nullptr;
  return reinterpret_cast<Slot*>(At(Aligned(sizeof(SharedState)))) + number;
}

void SharedState::OnRequest() {
  if (previous_request_hook != nullptr) previous_request_hook();
  RequestAddinShmemSpace(add_size(MakeLayout().end, PG_CACHE_LINE_SIZE));
  RequestNamedLWLockTranche(kName, LockCount());
}

void SharedState::OnStartup() {
  if (previous_startup_hook != nullptr) previous_startup_hook();
  bool found = false;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  auto* state = static_cast<SharedState*>(ShmemInitStruct(kName, MakeLayout().end, &found));
  if (!found) state->Initialize();
  locks_ = GetNamedLWLockTranche(kName);
  LWLockRelease(AddinShmemInitLock);
  instance_ = state;
  if (!found) restart::Restore(state);
}

void SharedState::Forget() noexcept {
  for (std::uint32_t i = 0; i < shard_count_; ++i) {
    ShardAt(i).Clear();
    NotableShardAt(i).Clear();
  }
  Errors().Clear();
  SlowStatements().Clear();
  pg_atomic_write_u64(&ignored_ids, 0);
  pg_atomic_write_u64(&stats_reset, static_cast<std::uint64_t>(GetCurrentTimestamp()));
}

void SharedState::Initialize() {
  const Layout layout = MakeLayout();
  bytes_ = layout.end;
  shard_count_ = layout.shards;
  slot_count_ = layout.slots;
  shards_offset_ = layout.shards_at;
  shard_bytes_ = layout.shard_bytes;
  notable_offset_ = layout.notable_at;
  notable_bytes_ = layout.notable_bytes;
  errors_offset_ = layout.errors_at;
  slow_offset_ = layout.slow_at;
  // Without strong randomness the chains are only easier to guess: not worth failing the server's start.
  if (!pg_strong_random(&hash_seed_, sizeof hash_seed_)) hash_seed_ = static_cast<std::uint64_t>(GetCurrentTimestamp());
  pg_atomic_init_u64(&ignored_ids, 0);
  pg_atomic_init_u64(&stats_reset, static_cast<std::uint64_t>(GetCurrentTimestamp()));
  std::memset(static_cast<void*>(SlotAt(0)), 0, sizeof(Slot) * slot_count_);
  for (std::uint32_t i = 0; i < shard_count_; ++i) {
    Shard::Create(&ShardAt(i), ShareOf(i, static_cast<std::uint32_t>(MaxRecords()), shard_count_));
    Shard::Create(&NotableShardAt(i), ShareOf(i, static_cast<std::uint32_t>(MaxNotable()), shard_count_));
  }
  EventRing<ErrorEvent>::Create(&Errors(), static_cast<std::uint32_t>(MaxErrors()));
  EventRing<SlowEvent>::Create(&SlowStatements(), static_cast<std::uint32_t>(MaxSlowStatements()));
}

}  // namespace reqtrail
