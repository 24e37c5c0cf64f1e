#include "metrics/registration.h"

#include <algorithm>
#include <ctime>

#include "metrics/entries.h"
#include "metrics/gauge_parts.h"

namespace reqtrail {
namespace {

constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

std::uint64_t BootNanoseconds() noexcept {
  timespec now{};
  (void)::clock_gettime(CLOCK_BOOTTIME, &now);
  return (static_cast<std::uint64_t>(now.tv_sec) * kNanosecondsPerSecond) + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

Registration::Registration(Segment& segment) noexcept : lock_(segment.file_.header().registering), segment_(segment) {
  if (lock_.was_abandoned()) Repair();
}

std::uint64_t Registration::NewLife() noexcept {
  return segment_.file_.header().last_life.fetch_add(1, std::memory_order_relaxed) + 1;
}

bool Registration::Publish(std::uint64_t hash, std::uint64_t offset) noexcept {
  const std::uint64_t mask = segment_.constants_.table_slots - 1;
  for (std::uint64_t probe = 0; probe <= mask; ++probe) {
    std::atomic<std::uint64_t>& slot = segment_.Slot((hash + probe) & mask);
    const std::uint64_t value = slot.load(std::memory_order_relaxed);
    if (value != 0 && value != kVacatedSlot) continue;
    slot.store(((hash >> 32U) << 32U) | (offset / kEntryAlign), std::memory_order_release);
    return true;
  }
  return false;
}

std::uint64_t Registration::Reuse(FamilyEntry& family, std::uint64_t hash,
                                  std::span<const std::string_view> label_values) noexcept {
  constexpr int kLookedAt = 8;
  const auto rest = static_cast<std::uint64_t>(segment_.rest_of_removed_.count());
  const std::uint64_t now = BootNanoseconds();
  const std::size_t packed = PackedBytes(label_values);
  std::atomic<std::uint64_t>* link = &family.first_removed;
  SeriesEntry* before = nullptr;
  for (int looked_at = 0; looked_at < kLookedAt; ++looked_at) {
    const std::uint64_t offset = link->load(std::memory_order_relaxed);
    auto* series = const_cast<SeriesEntry*>(segment_.SeriesAt(offset));
    if (series == nullptr || series->family != segment_.OffsetOf(family.head)) return 0;
    const std::uint64_t removed = series->removed_ns.load(std::memory_order_relaxed);
    if (!LifeOf(*series).Is(0) || now < removed || now - removed < rest)
      return 0;  // those behind it were removed later
    if (sizeof(SeriesEntry) + packed <= series->cells_offset) {
      link->store(series->next_removed.load(std::memory_order_relaxed), std::memory_order_relaxed);
      if (family.last_removed.load(std::memory_order_relaxed) == offset) {
        family.last_removed.store(before == nullptr ? 0 : segment_.OffsetOf(before->head), std::memory_order_relaxed);
      }
      Reset(family.type, CellsOf(*series), series->cells_bytes);
      RewriteSeries(*series, hash, label_values);
      return offset;
    }
    before = series;
    link = &series->next_removed;
  }
  return 0;
}

void Registration::Remove(std::uint64_t slot, FamilyEntry& family, SeriesEntry& series) noexcept {
  LifeOf(series).number.store(0, std::memory_order_release);
  Vacate(slot);
  segment_.file_.header().series.fetch_sub(1, std::memory_order_relaxed);
  PutBehind(family, series);
}

// A slot before an empty one is no bridge to anything: it and the vacated ones before it become empty, so that looking
// for what is not there stays short.
void Registration::Vacate(std::uint64_t slot) noexcept {
  const std::uint64_t mask = segment_.constants_.table_slots - 1;
  segment_.Slot(slot).store(kVacatedSlot, std::memory_order_release);
  if (segment_.Slot((slot + 1) & mask).load(std::memory_order_relaxed) != 0) return;
  while (segment_.Slot(slot).load(std::memory_order_relaxed) == kVacatedSlot) {
    segment_.Slot(slot).store(0, std::memory_order_release);
    slot = (slot - 1) & mask;
  }
}

void Registration::PutBehind(FamilyEntry& family, SeriesEntry& series) noexcept {
  const std::uint64_t offset = segment_.OffsetOf(series.head);
  series.next_removed.store(0, std::memory_order_relaxed);
  series.removed_ns.store(BootNanoseconds(), std::memory_order_relaxed);
  auto* last = const_cast<SeriesEntry*>(segment_.SeriesAt(family.last_removed.load(std::memory_order_relaxed)));
  if (last == nullptr || family.first_removed.load(std::memory_order_relaxed) == 0) {
    family.first_removed.store(offset, std::memory_order_relaxed);
  } else {
    last->next_removed.store(offset, std::memory_order_relaxed);
  }
  family.last_removed.store(offset, std::memory_order_relaxed);
}

void Registration::Reset(MetricType type, std::byte* cells, std::size_t bytes) noexcept {
  auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(cells);
  std::size_t from = 1;  // behind the life
  if (HasGaugeCell(type)) {
    // Its parts stay with it, as nobody's.
    auto& cell = *reinterpret_cast<GaugeCell*>(cells);
    GaugeParts(segment_, cell, GaugeMode::kLiveSum).ForEach([](GaugePart& part) {
      part.owner.store(0, std::memory_order_relaxed);
      part.unix_ns.store(0, std::memory_order_relaxed);
      part.value_bits.store(0, std::memory_order_relaxed);
      part.base_bits.store(0, std::memory_order_relaxed);
    });
    static_assert(offsetof(GaugeCell, first_part) == sizeof(std::uint64_t));
    ++from;
  }
  for (std::size_t i = from; i < bytes / sizeof(std::uint64_t); ++i) words[i].store(0, std::memory_order_relaxed);
}

// Completes the removals of a holder that was killed, and counts anew what it may have miscounted.
void Registration::Repair() noexcept {
  std::uint64_t series_count = 0;
  std::uint64_t family_count = 0;
  for (std::uint64_t slot = 0; slot < segment_.constants_.table_slots; ++slot) {
    const std::uint64_t value = segment_.Slot(slot).load(std::memory_order_acquire);
    const EntryHead* entry = segment_.Resolve(value);
    if (entry == nullptr) continue;
    const std::uint64_t offset = segment_.OffsetOf(*entry);
    if (segment_.FamilyAt(offset) != nullptr) ++family_count;
    auto* series = const_cast<SeriesEntry*>(segment_.SeriesAt(offset));
    if (series == nullptr) continue;
    ++series_count;
    if (!LifeOf(*series).Is(0)) continue;
    --series_count;
    Vacate(slot);
    if (const FamilyEntry* family = segment_.FamilyAt(series->family)) {
      PutBehind(const_cast<FamilyEntry&>(*family), *series);
    }
  }
  segment_.file_.header().series.store(series_count, std::memory_order_relaxed);
  segment_.file_.header().families.store(family_count, std::memory_order_relaxed);
}

}  // namespace reqtrail
