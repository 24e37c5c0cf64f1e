#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "pg_extension/request_key.h"
#include "pg_extension/work.h"

namespace reqtrail {

/// One record of the ring.
struct Record {
  RequestKey key;           // what it is about
  std::uint32_t hash = 0;   // low half of the id's hash: where the index entry's probe chain starts
  Work work;                // what was recorded, since the key came (back) into the ring
  bool referenced = false;  // merged into since the hand last passed: gets a second chance

  /// Whether it is worth to outlive others: it had errors, or its statements and commits took `duration` nanoseconds.
  [[nodiscard]] bool IsNotable(std::int64_t duration) const noexcept {
    return work.counters.errors > 0 || AddWrapping(work.counters.total_time, work.counters.commit_time) >= duration;
  }
};
static_assert(std::is_standard_layout_v<Record> && std::is_trivially_copyable_v<Record>);

/// What a shard tells about itself, summed over the shards in pg_stat_requests_info.
struct ShardTotals {
  std::uint32_t capacity = 0;          // records it can hold
  std::uint32_t used = 0;              // records it holds
  std::uint64_t merged = 0;            // flushes that found their key, since the last Clear
  std::uint64_t overwritten = 0;       // records that were lost to a new key, since the last Clear
  std::int64_t overwritten_until = 0;  // the latest last_seen among them; 0: none
};

/// A fixed number of records, found by key in O(1), overwritten in the order in which they came. A record that was
/// merged into since the hand last passed is skipped once, and at most kSkipLimit records are skipped in a row, so that
/// Merge is O(1) whatever the load. The index is open-addressed with backward-shift deletion: no tombstones, at most
/// half full.
///
/// Lives in memory that the caller provides and may be shared between processes (no pointers inside). Pure C++:
/// allocates nothing, throws nothing. Locking: the caller's. The const functions need shared access, the others
/// exclusive access.
class alignas(64) Shard {
 public:
  static constexpr std::uint32_t kSkipLimit = 8;

  /// Memory that a shard of `capacity` records needs; a multiple of 64.
  [[nodiscard]] static std::size_t Bytes(std::uint32_t capacity) noexcept;

  /// Makes an empty shard in `memory`. REQUIRES: capacity > 0; memory is aligned to 64 and has Bytes(capacity).
  static Shard* Create(void* memory, std::uint32_t capacity) noexcept;

  /// Where records go that would be lost although they are notable.
  struct Refuge {
    Shard* shard = nullptr;     // nullptr: there is none
    std::int64_t duration = 0;  // Record::IsNotable
  };

  /// Adds `work` to the record of `key`, here or in the refuge; if it is in neither, it gets one here, in the place of
  /// an older one if the shard is full. REQUIRES: hash == HashRequestId(key.id, the one seed of this shard and of the
  /// refuge).
  void Merge(const RequestKey& key, std::uint64_t hash, const Work& work, const Refuge& refuge) noexcept;

  /// Forgets all records and totals. O(capacity).
  void Clear() noexcept;

  /// Forgets the records of one id (of any database and role). The totals do not count them as overwritten.
  void Erase(const RequestId& id, std::uint64_t hash) noexcept;

  /// Adds to the totals what they were before a restart.
  void AddToTotals(std::uint64_t merged, std::uint64_t overwritten, std::int64_t overwritten_until) noexcept;

  /// Calls use(record) for each, those first that are to be overwritten first.
  template <typename Use>
  void ForEachInOrder(const Use& use) const {
    for (std::uint32_t i = 0; i < totals_.used; ++i) use(Records()[(hand_ + i) % totals_.used]);
  }

  [[nodiscard]] const ShardTotals& totals() const noexcept { return totals_; }
  [[nodiscard]] const Record* begin() const noexcept { return Records(); }
  [[nodiscard]] const Record* end() const noexcept { return Records() + totals_.used; }

  /// Copies the records of one id (of any database and role) to out[0..limit), and returns how many there are, which
  /// may be more than limit.
  std::size_t CopyMatches(const RequestId& id, std::uint64_t hash, Record* out, std::size_t limit) const noexcept;

 private:
  struct IndexEntry {
    std::uint32_t hash;    // of the record: its home is hash & index_mask_
    std::uint32_t record;  // its number + 1; 0: the entry is empty
  };

  [[nodiscard]] static std::uint32_t IndexSize(std::uint32_t capacity) noexcept;
  [[nodiscard]] Record* Records() noexcept { return reinterpret_cast<Record*>(this + 1); }
  [[nodiscard]] const Record* Records() const noexcept { return reinterpret_cast<const Record*>(this + 1); }
  [[nodiscard]] IndexEntry* Index() noexcept { return reinterpret_cast<IndexEntry*>(Records() + totals_.capacity); }
  [[nodiscard]] const IndexEntry* Index() const noexcept {
    return reinterpret_cast<const IndexEntry*>(Records() + totals_.capacity);
  }
  [[nodiscard]] Record* Find(const RequestKey& key, std::uint32_t hash) noexcept;
  bool MergeIfKnown(const RequestKey& key, std::uint32_t hash, const Work& work) noexcept;
  [[nodiscard]] std::uint32_t TakeRecord(const Refuge& refuge) noexcept;
  void Insert(const RequestKey& key, std::uint32_t hash, const Work& work, const Refuge& refuge) noexcept;
  [[nodiscard]] bool FindRecordOf(const RequestId& id, std::uint32_t hash, std::uint32_t* record) const noexcept;
  void MoveLastTo(std::uint32_t hole) noexcept;
  void Link(std::uint32_t hash, std::uint32_t record) noexcept;
  void Unlink(std::uint32_t hash, std::uint32_t record) noexcept;

  ShardTotals totals_;
  std::uint32_t index_mask_ = 0;  // entries of the index - 1; a power of two - 1
  std::uint32_t hand_ = 0;        // the record to overwrite next, when the shard is full
};
static_assert(std::is_standard_layout_v<Shard> && std::is_trivially_destructible_v<Shard>);

}  // namespace reqtrail
