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
/// process may use it at any time; nothing here allocates, locks or throws. A default-constructed handle observes
/// nothing.
///
/// In the segment it is the sum (a double's bits), one count for each bucket (the last one is +Inf; not cumulative),
/// and one exemplar slot for each bucket. There is no separate count: it is the sum of the buckets, so that the two
/// always agree.
class HistogramHandle {
 public:
  HistogramHandle() = default;

  /// REQUIRES: `cells` has CellsBytes(bounds.size()) bytes, aligned for a cache line; `bounds` ascends and outlives
  /// this.
  HistogramHandle(std::byte* cells, std::span<const double> bounds) noexcept
      : cells_(reinterpret_cast<std::atomic<std::uint64_t>*>(cells)),
        exemplars_(reinterpret_cast<ExemplarSlot*>(cells_ + bounds.size() + 2)),
        bounds_(bounds) {}

  /// The bytes that a histogram with this many upper bounds (+Inf not among them) takes in the segment.
  [[nodiscard]] static constexpr std::size_t CellsBytes(std::size_t bounds) noexcept {
    return ((bounds + 2) * sizeof(std::atomic<std::uint64_t>)) + ((bounds + 1) * sizeof(ExemplarSlot));
  }

  /// Counts `value` in its bucket (the first whose bound is not smaller; NaN in +Inf) and adds it to the sum.
  void Observe(double value) const noexcept {
    if (cells_ != nullptr) Count(value);
  }

  /// The same, and makes `exemplar` (a request id, or ExemplarLabels) the bucket's exemplar. An empty id or one over
  /// 118 bytes leaves the exemplar as it was.
  template <typename ExemplarText>
  void Observe(double value, const ExemplarText& exemplar) const noexcept {
    if (cells_ != nullptr) StoreExemplar(exemplars_[Count(value)], value, exemplar);
  }

  [[nodiscard]] double Sum() const noexcept {
    return cells_ == nullptr ? 0 : std::bit_cast<double>(cells_[0].load(std::memory_order_relaxed));
  }

  /// REQUIRES: the handle is not empty and `bucket` <= bounds().size().
  [[nodiscard]] std::uint64_t BucketCount(std::size_t bucket) const noexcept {
    return cells_[1 + bucket].load(std::memory_order_relaxed);
  }
  [[nodiscard]] const ExemplarSlot& BucketExemplar(std::size_t bucket) const noexcept { return exemplars_[bucket]; }

  [[nodiscard]] std::span<const double> bounds() const noexcept { return bounds_; }
  explicit operator bool() const noexcept { return cells_ != nullptr; }
  [[nodiscard]] bool SameAs(const HistogramHandle& other) const noexcept { return cells_ == other.cells_; }

 private:
  std::size_t Count(double value) const noexcept {
    std::size_t bucket = 0;
    while (bucket < bounds_.size() && !(value <= bounds_[bucket])) ++bucket;
    cells_[1 + bucket].fetch_add(1, std::memory_order_relaxed);
    AddToDouble(cells_[0], value);
    return bucket;
  }

  std::atomic<std::uint64_t>* cells_ = nullptr;
  ExemplarSlot* exemplars_ = nullptr;
  std::span<const double> bounds_;
};

}  // namespace reqtrail
