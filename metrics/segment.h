#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "metrics/counter.h"
#include "metrics/entries.h"
#include "metrics/gauge.h"
#include "metrics/histogram.h"
#include "metrics/layout.h"
#include "metrics/result.h"
#include "metrics/segment_file.h"

namespace reqtrail {

class Registration;
class Segment;

/// A family of the segment: a small value, cheap to copy, valid while its Segment lives.
class Family {
 public:
  using Pair = std::pair<std::string_view, std::string_view>;

  Family() = default;

  /// The series with these label values (in the order of the label names), which is made if it is new. One look-up
  /// without a lock or an allocation, but keep the handle where you can. When there is no room (the cap on series, the
  /// capacity, a full disk, over 16 KiB of label values) it is the family's overflow series, and the segment's
  /// `series_dropped` goes up. An empty handle if the family is of another type or the number of values is wrong.
  /// A summary is a histogram without bounds, a state set is a gauge of mode shared.
  [[nodiscard]] CounterHandle Counter(std::span<const std::string_view> label_values) const noexcept;
  [[nodiscard]] GaugeHandle Gauge(std::span<const std::string_view> label_values) const noexcept;
  [[nodiscard]] HistogramHandle Histogram(std::span<const std::string_view> label_values) const noexcept;

  /// Makes `pairs` what an info says, one pair for all processes; who sets it last wins. `label_values` are those of
  /// the family's own labels. kSystem without the registration lock, kFull or kSystem without room. REQUIRES: an info.
  [[nodiscard]] Result<bool> SetInfo(std::span<const std::string_view> label_values, std::span<const Pair> pairs) const;

  /// Removes the series whose label values are these, in all processes; nullopt matches any, and so do values that are
  /// left out at the end. Returns how many there were; kSystem when somebody else keeps the registration lock.
  ///
  /// A handle to a removed series counts nothing from then on; looking its labels up again makes a new series, from 0.
  /// What another thread counts at this very moment may be lost with it. The overflow series, which cannot go, begins
  /// again from 0 when all are removed.
  [[nodiscard]] Result<std::uint64_t> Remove(std::span<const std::optional<std::string_view>> label_values) const;

  /// Whether what Counter(), Gauge() or Histogram() returned is the overflow series, which is not worth keeping under
  /// its labels.
  [[nodiscard]] bool IsOverflow(const CounterHandle& counter) const noexcept;
  [[nodiscard]] bool IsOverflow(const GaugeHandle& gauge) const noexcept;
  [[nodiscard]] bool IsOverflow(const HistogramHandle& histogram) const noexcept;

  [[nodiscard]] MetricType type() const noexcept { return type_; }
  [[nodiscard]] std::uint32_t label_count() const noexcept { return label_count_; }

 private:
  friend class Segment;

  [[nodiscard]] HistogramHandle HistogramAt(std::byte* cells) const noexcept;

  Segment* segment_ = nullptr;
  std::uint64_t offset_ = 0;
  std::byte* default_cells_ = nullptr;
  std::span<const double> bounds_;
  MetricType type_ = MetricType::kCounter;
  GaugeMode gauge_mode_ = GaugeMode::kLiveSum;
  std::uint32_t label_count_ = 0;
};

/// The metrics of one service on one host: families and series that any number of processes register, count and read at
/// once. What is registered is found without a lock; registration and removal take one that cannot be left held (see
/// RegistrationLock). A process that is killed at any instruction leaves at most some unused bytes. All methods may be
/// called from any thread, and in children after fork. Handles and families point into the mapping: they must not
/// outlive the Segment. A damaged segment gives wrong numbers or missing series, never a crash.
class Segment {
 public:
  static Result<std::unique_ptr<Segment>> Open(const SegmentOptions& options);

  explicit Segment(SegmentFile file,
                   std::chrono::nanoseconds rest_of_removed = SegmentOptions{}.rest_of_removed) noexcept;
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment() = default;

  /// The family of this name, which is made if it is new. kInvalid for bad names, labels or bounds, kConflict if it
  /// exists with another type, other labels or other bounds (the help text of the first one stays), kFull or kSystem
  /// without room.
  Result<Family> GetOrCreateFamily(const FamilySpec& spec);

  /// How often a label set found no room.
  [[nodiscard]] std::uint64_t series_dropped() const noexcept;
  /// Series in the table: the overflow series and those of families without labels are not among them.
  [[nodiscard]] std::uint64_t series() const noexcept;
  /// The parts of all gauges: for each, as many as there were processes at once that used it.
  [[nodiscard]] std::uint64_t gauge_parts() const noexcept;
  [[nodiscard]] std::uint64_t set_aside() const noexcept { return constants_.set_aside; }
  [[nodiscard]] std::uint64_t max_series() const noexcept { return constants_.max_series; }
  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

  /// Whether a scrape shows when each counter, histogram and summary began (`_created`).
  [[nodiscard]] bool show_created() const noexcept { return show_created_.load(std::memory_order_relaxed); }
  void set_show_created(bool show) noexcept { show_created_.store(show, std::memory_order_relaxed); }

  /// Calls `visit` with each well-formed entry of the table, in no order.
  template <typename Visit>
  void ForEachEntry(Visit visit) const {
    for (std::uint64_t slot = 0; slot < constants_.table_slots; ++slot) {
      if (const EntryHead* entry = Resolve(Slot(slot).load(std::memory_order_acquire))) visit(*entry);
    }
  }

  /// The entry at this offset if it lies in the heap, fits into it and is of this kind; else nullptr.
  [[nodiscard]] const FamilyEntry* FamilyAt(std::uint64_t offset) const noexcept;
  [[nodiscard]] const SeriesEntry* SeriesAt(std::uint64_t offset) const noexcept;
  [[nodiscard]] GaugePart* PartAt(std::uint64_t offset) const noexcept;
  [[nodiscard]] std::uint64_t OffsetOf(const EntryHead& entry) const noexcept;

 private:
  friend class Family;
  friend class GaugeParts;
  friend class Registration;

  struct Found {
    const EntryHead* entry = nullptr;
    MetricsFault fault = MetricsFault::kFull;
    int os_error = 0;
  };
  struct Space {
    std::uint64_t offset = 0;
    MetricsFault fault = MetricsFault::kFull;
    int os_error = 0;
  };
  struct LabelSet;

  /// The slot of the entry that matches, or of none.
  template <typename Matches>
  [[nodiscard]] std::optional<std::uint64_t> FindSlot(std::uint64_t hash, Matches matches) const noexcept;

  /// The entry that matches, else the one that `make` writes and returns the Space of. With a registration that is held
  /// already, or one of its own.
  template <typename Matches, typename Make>
  Found FindOrInsert(std::uint64_t hash, Matches matches, Make make) noexcept;
  template <typename Matches, typename Make>
  Found FindOrInsert(Registration& registration, std::uint64_t hash, Matches matches, Make make) noexcept;

  [[nodiscard]] Space MakeSeries(Registration& registration, const LabelSet& labels) noexcept;
  Result<bool> SetInfo(const Family& family, std::span<const std::string_view> values);
  Result<std::uint64_t> Remove(const Family& family, std::span<const std::optional<std::string_view>> values);

  /// The offset of a new part of a gauge, or 0, which is counted as a dropped series.
  [[nodiscard]] std::uint64_t AllocatePart() noexcept;
  [[nodiscard]] Space Allocate(std::uint64_t bytes) noexcept;
  [[nodiscard]] std::byte* FindOrMakeCells(const Family& family, std::span<const std::string_view> values) noexcept;
  [[nodiscard]] static std::byte* UsableCells(const Family& family, const SeriesEntry* series) noexcept;
  [[nodiscard]] Result<Family> Bind(const FamilyEntry& entry);

  [[nodiscard]] std::atomic<std::uint64_t>& Slot(std::uint64_t index) const noexcept;
  [[nodiscard]] const EntryHead* Resolve(std::uint64_t slot_value) const noexcept;
  [[nodiscard]] const EntryHead* EntryAt(std::uint64_t offset) const noexcept;

  SegmentFile file_;
  std::chrono::nanoseconds rest_of_removed_;
  std::atomic<bool> show_created_ = false;
  SegmentConstants constants_;  ///< as they were checked when the file was opened: the mapping's may be damaged later
};

}  // namespace reqtrail
