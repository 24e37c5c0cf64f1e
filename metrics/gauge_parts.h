#pragma once

#include <cstdint>

#include "metrics/gauge.h"
#include "metrics/segment.h"

namespace reqtrail {

/// The list of a gauge's parts. It only grows, but a part of a process that has ended is used again, so that it is as
/// long as there were processes at once.
class GaugeParts {
 public:
  GaugeParts(Segment& segment, GaugeCell& cell, GaugeMode mode) noexcept
      : segment_(segment), cell_(cell), mode_(mode) {}

  /// This process' part, which is made if there is none; nullptr without room. Threads of one process wait for each
  /// other here; a child forked meanwhile does not. Nobody waits for another process.
  [[nodiscard]] GaugePart* FindOrMake() noexcept;

  /// Calls `visit` with each part. A damaged list ends early.
  template <typename Visit>
  void ForEach(Visit visit) const {
    std::uint64_t offset = cell_.first_part.load(std::memory_order_acquire);
    for (std::uint32_t steps = 0; steps < kMaxParts; ++steps) {
      GaugePart* part = segment_.PartAt(offset);
      if (part == nullptr) return;
      visit(*part);
      offset = part->next.load(std::memory_order_relaxed);
    }
  }

 private:
  static constexpr std::uint32_t kMaxParts = 1U << 20U;

  [[nodiscard]] GaugePart* Find(ProcessToken self) const noexcept;
  [[nodiscard]] GaugePart* TakeOver(ProcessToken self) noexcept;
  [[nodiscard]] bool TakeOver(GaugePart& part, std::uint64_t owner, ProcessToken self) noexcept;
  void Keep(const GaugePart& part, std::uint64_t owner) noexcept;
  [[nodiscard]] GaugePart* Make(ProcessToken self) noexcept;

  Segment& segment_;
  GaugeCell& cell_;
  GaugeMode mode_;
};

}  // namespace reqtrail
