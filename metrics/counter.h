#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <string_view>

#include "metrics/exemplar.h"

namespace reqtrail {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "the cells are shared between processes");

/// Adds `amount` to a double that is kept as its bits. Lock-free, any process.
inline void AddToDouble(std::atomic<std::uint64_t>& bits, double amount) noexcept {
  std::uint64_t seen = bits.load(std::memory_order_relaxed);
  while (!bits.compare_exchange_weak(seen, std::bit_cast<std::uint64_t>(std::bit_cast<double>(seen) + amount),
                                     std::memory_order_relaxed)) {
  }
}

/// The first word of each series' cells: a number that no other series has had, or 0 when it was removed. A handle
/// remembers it, and so notices that its series is gone, and that the cells may be another one's by now.
struct CellLife {
  std::atomic<std::uint64_t> number;

  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  /// What a handle made now remembers.
  [[nodiscard]] std::uint64_t Remembered() const noexcept {
    const std::uint64_t life = number.load(std::memory_order_acquire);
    return life == 0 ? kNever : life;
  }
  [[nodiscard]] bool Is(std::uint64_t remembered) const noexcept {
    return number.load(std::memory_order_relaxed) == remembered;
  }
};

/// A counter's cells in the shared segment; all zero is 0. Whole amounts and the rest are kept apart, so that the usual
/// increment is one fetch_add and stays exact beyond 2^53.
struct CounterCell {
  CellLife life;
  std::atomic<std::uint64_t> whole;
  std::atomic<std::uint64_t> fraction_bits;
  ExemplarSlot exemplar;
};

/// A counter of the segment. It is a pointer into the mapping: cheap to copy, valid while its Segment lives. Any thread
/// and process may use it at any time; nothing here allocates, locks or throws. A default-constructed handle, and one
/// whose series was removed, count nothing.
class CounterHandle {
 public:
  CounterHandle() = default;
  explicit CounterHandle(CounterCell* cell) noexcept
      : cell_(cell), life_(cell == nullptr ? 0 : cell->life.Remembered()) {}

  /// Adds `amount`. A negative amount and NaN are refused: nothing changes, false is returned.
  bool Inc(double amount = 1) const noexcept {
    if (!(amount >= 0)) return false;
    if (IsCurrent()) Add(*cell_, amount);
    return true;
  }

  /// The same, and makes `exemplar` (a request id, or ExemplarLabels) the counter's exemplar. An empty id or one over
  /// 118 bytes leaves the exemplar as it was.
  template <typename ExemplarText>
  bool Inc(double amount, const ExemplarText& exemplar) const noexcept {
    if (!Inc(amount)) return false;
    if (IsCurrent()) StoreExemplar(cell_->exemplar, amount, exemplar);
    return true;
  }

  [[nodiscard]] double Value() const noexcept {
    if (cell_ == nullptr) return 0;
    return static_cast<double>(cell_->whole.load(std::memory_order_relaxed)) +
           std::bit_cast<double>(cell_->fraction_bits.load(std::memory_order_relaxed));
  }

  /// REQUIRES: the handle is not empty.
  [[nodiscard]] const ExemplarSlot& exemplar() const noexcept { return cell_->exemplar; }

  /// Whether it has a series, which was not removed.
  [[nodiscard]] bool IsCurrent() const noexcept { return cell_ != nullptr && cell_->life.Is(life_); }
  [[nodiscard]] bool WasRemoved() const noexcept { return *this && !IsCurrent(); }
  explicit operator bool() const noexcept { return cell_ != nullptr; }
  bool operator==(const CounterHandle&) const = default;

 private:
  static void Add(CounterCell& cell, double amount) noexcept {
    constexpr double kWholeLimit = 4294967296.0;  // 2^32: as many such amounts fit before the whole part wraps
    if (amount < kWholeLimit) {
      const auto whole = static_cast<std::uint64_t>(amount);
      if (static_cast<double>(whole) == amount) {
        cell.whole.fetch_add(whole, std::memory_order_relaxed);
        return;
      }
    }
    AddToDouble(cell.fraction_bits, amount);
  }

  CounterCell* cell_ = nullptr;
  std::uint64_t life_ = 0;
};

}  // namespace reqtrail
