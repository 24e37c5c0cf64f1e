#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "metrics/layout.h"
#include "metrics/registration_lock.h"
#include "metrics/segment.h"

namespace reqtrail {

/// The right to change a segment's table, for as long as this lives: one thread of all processes has it. Each step
/// leaves a table that others may read at any moment; a holder that is killed leaves at most some unused bytes, and
/// half a removal, which the next holder completes.
class Registration {
 public:
  explicit Registration(Segment& segment) noexcept;

  /// False: somebody else keeps it, and nothing may be changed.
  [[nodiscard]] bool is_held() const noexcept { return lock_.is_held(); }

  /// Makes the entry at `offset` findable. False if the table is full.
  [[nodiscard]] bool Publish(std::uint64_t hash, std::uint64_t offset) noexcept;

  /// A number for CellLife.
  [[nodiscard]] std::uint64_t NewLife() noexcept;

  /// The storage of a series of this family that was removed long enough ago, with room for these label values. It is
  /// written, but for its life and not findable. 0 if there is none.
  [[nodiscard]] std::uint64_t Reuse(FamilyEntry& family, std::uint64_t hash,
                                    std::span<const std::string_view> label_values) noexcept;

  /// Removes the series in all slots for which `is_meant` holds, of those of this family. Returns how many.
  template <typename IsMeant>
  std::uint64_t RemoveWhere(FamilyEntry& family, IsMeant is_meant) noexcept;

  /// Removes the series in this slot, which is of this family.
  void Remove(std::uint64_t slot, FamilyEntry& family, SeriesEntry& series) noexcept;

  /// Makes cells what they are in a new series. Their life stays.
  void Reset(MetricType type, std::byte* cells, std::size_t bytes) noexcept;

 private:
  void Repair() noexcept;
  void Vacate(std::uint64_t slot) noexcept;
  void PutBehind(FamilyEntry& family, SeriesEntry& series) noexcept;

  RegistrationLock lock_;
  Segment& segment_;
};

template <typename IsMeant>
std::uint64_t Registration::RemoveWhere(FamilyEntry& family, IsMeant is_meant) noexcept {
  std::uint64_t removed = 0;
  for (std::uint64_t slot = 0; slot < segment_.constants_.table_slots; ++slot) {
    const EntryHead* entry = segment_.Resolve(segment_.Slot(slot).load(std::memory_order_relaxed));
    auto* series = entry == nullptr ? nullptr : const_cast<SeriesEntry*>(segment_.SeriesAt(segment_.OffsetOf(*entry)));
    if (series == nullptr || series->family != segment_.OffsetOf(family.head) || !is_meant(*series)) continue;
    Remove(slot, family, *series);
    ++removed;
  }
  return removed;
}

}  // namespace reqtrail
