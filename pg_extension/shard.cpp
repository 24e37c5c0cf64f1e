#include "pg_extension/shard.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace reqtrail {

std::uint32_t Shard::IndexSize(std::uint32_t capacity) noexcept { return std::bit_ceil(capacity * 2); }

std::size_t Shard::Bytes(std::uint32_t capacity) noexcept {
  const std::size_t bytes =
      sizeof(Shard) + (sizeof(Record) * capacity) + (sizeof(IndexEntry) * std::size_t{IndexSize(capacity)});
  return (bytes + alignof(Shard) - 1) / alignof(Shard) * alignof(Shard);
}

Shard* Shard::Create(void* memory, std::uint32_t capacity) noexcept {
  auto* shard = new (memory) Shard;
  shard->totals_.capacity = capacity;
  shard->index_mask_ = IndexSize(capacity) - 1;
  shard->Clear();
  return shard;
}

void Shard::Clear() noexcept {
  const std::uint32_t capacity = totals_.capacity;
  totals_ = ShardTotals{};
  totals_.capacity = capacity;
  hand_ = 0;
  std::memset(Index(), 0, sizeof(IndexEntry) * (std::size_t{index_mask_} + 1));
}

bool Shard::MergeIfKnown(const RequestKey& key, std::uint32_t hash, const Work& work) noexcept {
  Record* known = Find(key, hash);
  if (known == nullptr) return false;
  known->work.Merge(work);
  known->referenced = true;
  ++totals_.merged;
  return true;
}

void Shard::Insert(const RequestKey& key, std::uint32_t hash, const Work& work, const Refuge& refuge) noexcept {
  const std::uint32_t number = TakeRecord(refuge);
  Record& record = Records()[number];
  record.key.Assign(key);
  record.work.Assign(work);
  record.hash = hash;
  record.referenced = false;
  Link(hash, number);
}

void Shard::Merge(const RequestKey& key, std::uint64_t hash, const Work& work, const Refuge& refuge) noexcept {
  const auto low_hash = static_cast<std::uint32_t>(hash);
  if (MergeIfKnown(key, low_hash, work)) return;
  if (refuge.shard != nullptr && refuge.shard->MergeIfKnown(key, low_hash, work)) return;
  Insert(key, low_hash, work, refuge);
}

bool Shard::FindRecordOf(const RequestId& id, std::uint32_t hash, std::uint32_t* record) const noexcept {
  for (std::uint32_t at = hash & index_mask_; Index()[at].record != 0; at = (at + 1) & index_mask_) {
    if (Index()[at].hash != hash) continue;
    *record = Index()[at].record - 1;
    if (Records()[*record].key.id.View() == id.View()) return true;
  }
  return false;
}

// Records stay dense: the last one moves to where one was. The next new one comes to the end, and the hand goes on.
void Shard::MoveLastTo(std::uint32_t hole) noexcept {
  const std::uint32_t last = --totals_.used;
  if (hand_ >= last) hand_ = 0;
  if (hole == last) return;
  const Record& moved = Records()[last];
  Unlink(moved.hash, last);
  Records()[hole] = moved;
  Link(moved.hash, hole);
}

void Shard::Erase(const RequestId& id, std::uint64_t hash) noexcept {
  const auto low_hash = static_cast<std::uint32_t>(hash);
  for (std::uint32_t record = 0; FindRecordOf(id, low_hash, &record);) {
    Unlink(low_hash, record);
    MoveLastTo(record);
  }
}

void Shard::AddToTotals(std::uint64_t merged, std::uint64_t overwritten, std::int64_t overwritten_until) noexcept {
  totals_.merged += merged;
  totals_.overwritten += overwritten;
  totals_.overwritten_until = std::max(totals_.overwritten_until, overwritten_until);
}

std::size_t Shard::CopyMatches(const RequestId& id, std::uint64_t hash, Record* out, std::size_t limit) const noexcept {
  const auto low_hash = static_cast<std::uint32_t>(hash);
  std::size_t count = 0;
  for (std::uint32_t at = low_hash & index_mask_; Index()[at].record != 0; at = (at + 1) & index_mask_) {
    if (Index()[at].hash != low_hash) continue;
    const Record& record = Records()[Index()[at].record - 1];
    if (record.key.id.View() != id.View()) continue;
    if (count < limit) out[count] = record;
    ++count;
  }
  return count;
}

Record* Shard::Find(const RequestKey& key, std::uint32_t hash) noexcept {
  for (std::uint32_t at = hash & index_mask_; Index()[at].record != 0; at = (at + 1) & index_mask_) {
    if (Index()[at].hash != hash) continue;
    Record& record = Records()[Index()[at].record - 1];
    if (record.key.Equals(key)) return &record;
  }
  return nullptr;
}

std::uint32_t Shard::TakeRecord(const Refuge& refuge) noexcept {
  if (totals_.used < totals_.capacity) return totals_.used++;
  const auto advance = [this] {
    const std::uint32_t number = hand_;
    hand_ = number + 1 == totals_.capacity ? 0 : number + 1;
    return number;
  };
  std::uint32_t number = advance();
  for (std::uint32_t skipped = 0; Records()[number].referenced && skipped < kSkipLimit; ++skipped) {
    Records()[number].referenced = false;
    number = advance();
  }
  const Record& victim = Records()[number];
  Unlink(victim.hash, number);
  if (refuge.shard != nullptr && victim.IsNotable(refuge.duration)) {
    refuge.shard->Insert(victim.key, victim.hash, victim.work, {});
  } else {
    ++totals_.overwritten;
    totals_.overwritten_until = std::max(totals_.overwritten_until, victim.work.counters.last_seen);
  }
  return number;
}

void Shard::Link(std::uint32_t hash, std::uint32_t record) noexcept {
  std::uint32_t at = hash & index_mask_;
  while (Index()[at].record != 0) at = (at + 1) & index_mask_;
  Index()[at] = {.hash = hash, .record = record + 1};
}

void Shard::Unlink(std::uint32_t hash, std::uint32_t record) noexcept {
  std::uint32_t hole = hash & index_mask_;
  while (Index()[hole].record != record + 1) hole = (hole + 1) & index_mask_;
  // Backward shift: an entry may move into the hole if the hole lies between its home and its place.
  for (std::uint32_t at = (hole + 1) & index_mask_; Index()[at].record != 0; at = (at + 1) & index_mask_) {
    const std::uint32_t from_home = (at - Index()[at].hash) & index_mask_;
    const std::uint32_t from_hole = (at - hole) & index_mask_;
    if (from_home < from_hole) continue;
    Index()[hole] = Index()[at];
    hole = at;
  }
  Index()[hole] = {.hash = 0, .record = 0};
}

}  // namespace reqtrail
