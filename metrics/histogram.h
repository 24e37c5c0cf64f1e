#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "metrics/counter.h"
#include "metrics/exemplar.h"

namespace reqtrail {

/// A histogram of the segment: pointers into the mapping, cheap to copy, valid while its Segment lives. Any thread and
/// process may use it at any time; nothing here allocates, locks or throws. A default-constructed handle, and one whose
/// series was removed, observe nothing.
///
/// In the segment it is its life, the sum (a double's bits), one count for each bucket (the last one is +Inf; not
/// cumulative), and one exemplar slot for each bucket. There is no separate count: it is the sum of the buckets, so
/// that the two always agree.
class HistogramHandle {
 public:
  HistogramHandle() = default;

  /// REQUIRES: `cells` has CellsBytes(bounds.size()) bytes, aligned for a cache line; `bounds` ascends and outlives
  /// this.
  HistogramHandle(std::byte* cells, std::span<const double> bounds) noexcept
      : cells_(reinterpret_cast<std::atomic<std::uint64_t>*>(cells)),
        exemplars_(reinterpret_cast<ExemplarSlot*>(cells_ + kBuckets + bounds.size() + 1)),
        bounds_(bounds),
        life_(Life().Remembered()) {}

  /// The bytes that a histogram with this many upper bounds (+Inf not among them) takes in the segment.
  [[nodiscard]] static constexpr std::size_t CellsBytes(std::size_t bounds) noexcept {
    return ((kBuckets + bounds + 1) * sizeof(std::atomic<std::uint64_t>)) + ((bounds + 1) * sizeof(ExemplarSlot));
  }

  /// Counts `value` in its bucket (the first whose bound is not smaller; NaN in +Inf) and adds it to the sum.
  void Observe(double value) const noexcept {
    if (IsCurrent()) Count(value);
  }

  /// The same, and makes `exemplar` (a request id, or ExemplarLabels) the bucket's exemplar. An empty id or one over
  /// 118 bytes leaves the exemplar as it was.
  template <typename ExemplarText>
  void Observe(double value, const ExemplarText& exemplar) const noexcept {
    if (IsCurrent()) StoreExemplar(exemplars_[Count(value)], value, exemplar);
  }

  [[nodiscard]] double Sum() const noexcept {
    return cells_ == nullptr ? 0 : std::bit_cast<double>(cells_[kSum].load(std::memory_order_relaxed));
  }

  /// REQUIRES: `bucket` <= bounds().size(), and for the exemplar that the handle is not empty.
  [[nodiscard]] std::uint64_t BucketCount(std::size_t bucket) const noexcept {
    return cells_ == nullptr ? 0 : cells_[kBuckets + bucket].load(std::memory_order_relaxed);
  }
  [[nodiscard]] const ExemplarSlot& BucketExemplar(std::size_t bucket) const noexcept { return exemplars_[bucket]; }

  [[nodiscard]] std::span<const double> bounds() const noexcept { return bounds_; }
  /// Whether it has a series, which was not removed.
  [[nodiscard]] bool IsCurrent() const noexcept { return cells_ != nullptr && Life().Is(life_); }
  [[nodiscard]] bool WasRemoved() const noexcept { return *this && !IsCurrent(); }
  explicit operator bool() const noexcept { return cells_ != nullptr; }
  [[nodiscard]] bool SameAs(const HistogramHandle& other) const noexcept { return cells_ == other.cells_; }

 private:
  static constexpr std::size_t kSum = 1;
  static constexpr std::size_t kBuckets = 2;

  [[nodiscard]] const CellLife& Life() const noexcept { return *reinterpret_cast<const CellLife*>(cells_); }

  std::size_t Count(double value) const noexcept {
    std::size_t bucket = 0;
    while (bucket < bounds_.size() && !(value <= bounds_[bucket])) ++bucket;
    cells_[kBuckets + bucket].fetch_add(1, std::memory_order_relaxed);
    AddToDouble(cells_[kSum], value);
    return bucket;
  }

  std::atomic<std::uint64_t>* cells_ = nullptr;
  ExemplarSlot* exemplars_ = nullptr;
  std::span<const double> bounds_;
  std::uint64_t life_ = 0;
};

}  // namespace reqtrail
