#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "metrics/counter.h"
#include "metrics/gauge.h"
#include "metrics/histogram.h"
#include "metrics/process_token.h"

/// The format of a segment file. Everything is at an offset from the file's start, nothing is a pointer, integers are
/// those of the machine: the file never leaves its host. Order: SegmentHeader, the table, the heap.
///
/// The table is open-addressed. A slot is 0, kVacatedSlot, or a published entry: the high half of the entry's hash in
/// the high 32 bits, its offset in units of kEntryAlign in the low 32. It is read without a lock and changed under
/// SegmentHeader::registering. Entries are immutable after their publication but for their cells; those of removed
/// series are used again after a rest (SegmentOptions::rest_of_removed). A reader skips an entry whose kind or type it
/// does not know, so that both may be added without a new version; any other change of the structures here needs a new
/// kSegmentVersion.
namespace reqtrail {

inline constexpr std::array<char, 8> kSegmentMagic = {'R', 'Q', 'T', 'R', 'A', 'I', 'L', 'M'};
inline constexpr std::uint32_t kSegmentVersion = 3;

inline constexpr std::uint64_t kEntryAlign = 64;
inline constexpr std::uint64_t kClaimBytes = 256UL * 1024;

/// A slot whose entry was removed, and which look-ups pass by: the offset of no entry.
inline constexpr std::uint64_t kVacatedSlot = 1;

/// The life of each family's default series, which is never removed.
inline constexpr std::uint64_t kDefaultLife = 1;

/// Families are few; the table keeps room for this many beside the series.
inline constexpr std::uint64_t kMaxFamilies = 1024;

/// What is fixed when the segment is made. `check` is a checksum over the fields before it.
struct SegmentConstants {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint64_t capacity;  ///< the file's size
  std::uint64_t table_offset;
  std::uint64_t table_slots;  ///< a power of two
  std::uint64_t heap_offset;
  std::uint64_t hash_seed;
  std::uint64_t created_unix_ns;
  std::uint64_t max_series;
  std::uint64_t set_aside;  ///< files that were not usable and were renamed when this one was made
  std::uint64_t check;
};

struct SegmentHeader {
  alignas(kEntryAlign) SegmentConstants constants;

  /// Written at registration.
  alignas(kEntryAlign) std::atomic<std::uint64_t> next_free;  ///< the first byte of the heap that nobody owns
  std::atomic<std::uint64_t> claimed;                         ///< up to here the file system has reserved storage
  std::atomic<std::uint64_t> families;
  std::atomic<std::uint64_t> series;
  std::atomic<std::uint64_t> gauge_parts;
  std::atomic<ProcessToken> registering;  ///< who changes the table now: see RegistrationLock
  std::atomic<std::uint64_t> last_life;   ///< the highest number that CellLife has had

  /// Written whenever a label set finds no room.
  alignas(kEntryAlign) std::atomic<std::uint64_t> series_dropped;
};

// 32 bits each because the file's structures are made of 32 and 64 bits.
// NOLINTBEGIN(performance-enum-size): see above
enum class EntryKind : std::uint32_t { kFamily = 1, kSeries = 2 };

enum class MetricType : std::uint32_t {
  kCounter = 1,
  kHistogram = 2,
  kGauge = 3,
  kSummary = 4,
  kInfo = 5,
  kStateSet = 6
};
// NOLINTEND(performance-enum-size)

struct EntryHead {
  EntryKind kind;
  std::uint32_t bytes;  ///< the whole entry
  std::uint64_t hash;
};

/// Followed by the bounds (doubles), the name, the help text, and each label name behind its length (uint32).
struct FamilyEntry {
  EntryHead head;
  MetricType type;
  std::uint32_t label_count;
  std::uint32_t bound_count;
  std::uint32_t name_bytes;
  std::uint32_t help_bytes;
  std::uint32_t label_names_bytes;
  GaugeMode gauge_mode;
  std::uint32_t reserved;
  /// The offset of the one series that is not in the table: the only one of a family without labels, else the one that
  /// takes what finds no room (`__overflow__`). It is made together with the family, so that there is always one.
  std::uint64_t default_series;
  /// Series of this family that were removed, the longest removed first: offsets, or 0. Changed under the lock.
  std::atomic<std::uint64_t> first_removed;
  std::atomic<std::uint64_t> last_removed;
};

/// Followed by each label value behind its length (uint32); the cells begin at `cells_offset` from the entry's start.
struct SeriesEntry {
  EntryHead head;
  std::uint64_t family;  ///< the offset of its FamilyEntry
  std::uint32_t label_count;
  std::uint32_t label_values_bytes;
  std::uint32_t cells_offset;
  std::uint32_t cells_bytes;
  std::uint64_t created_unix_ns;
  std::atomic<std::uint64_t> next_removed;  ///< in the family's list, or 0
  std::atomic<std::uint64_t> removed_ns;    ///< when, by CLOCK_BOOTTIME
};

constexpr bool HasGaugeCell(MetricType type) noexcept {
  return type == MetricType::kGauge || type == MetricType::kStateSet || type == MetricType::kInfo;
}

/// The label name that a type keeps for itself, or "".
constexpr std::string_view ReservedLabel(MetricType type) noexcept {
  if (type == MetricType::kSummary) return "quantile";
  return type == MetricType::kHistogram ? "le" : "";
}

/// The last label of each info: its value is the pairs that the info says, packed, and no label of a sample.
inline constexpr std::string_view kInfoPairsLabel = "__pairs__";

/// The bytes of a series' cells; 0 for a type that is not known.
constexpr std::size_t CellsBytes(MetricType type, std::size_t bound_count) noexcept {
  switch (type) {
    case MetricType::kCounter: return sizeof(CounterCell);
    case MetricType::kHistogram: return HistogramHandle::CellsBytes(bound_count);
    case MetricType::kGauge:
    case MetricType::kStateSet:
    case MetricType::kInfo: return sizeof(GaugeCell);
    case MetricType::kSummary: return HistogramHandle::CellsBytes(0);
  }
  return 0;
}

constexpr std::uint64_t AlignUp(std::uint64_t bytes, std::uint64_t to) noexcept { return (bytes + to - 1) / to * to; }

static_assert(std::is_standard_layout_v<SegmentHeader> && std::is_standard_layout_v<CounterCell>);
static_assert(std::is_standard_layout_v<FamilyEntry> && std::is_standard_layout_v<SeriesEntry>);
static_assert(std::is_standard_layout_v<ExemplarSlot>);
static_assert(std::is_standard_layout_v<GaugeCell> && sizeof(GaugePart) == kEntryAlign);
static_assert(std::is_trivially_copyable_v<SegmentConstants>);
static_assert(sizeof(SegmentHeader) % kEntryAlign == 0 && sizeof(FamilyEntry) % alignof(double) == 0);

}  // namespace reqtrail
