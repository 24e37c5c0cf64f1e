#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "metrics/counter.h"
#include "metrics/process_token.h"

namespace reqtrail {

class Segment;

/// How the values of several processes make one gauge: prometheus_client's multiprocess modes, and `shared`. Those
/// named live leave out processes that have ended.
// NOLINTNEXTLINE(performance-enum-size): it is a field of the file, which is made of 32 and 64 bits
enum class GaugeMode : std::uint32_t {
  kLiveSum = 0,
  kSum,
  kAll,  ///< a sample for each process, with a label `pid`
  kLiveAll,
  kMin,
  kLiveMin,
  kMax,
  kLiveMax,
  kMostRecent,  ///< the value that was set last
  kLiveMostRecent,
  kShared,  ///< one value for all processes: whoever sets it last wins, and inc() adds to what the others made it
};
inline constexpr std::array<std::string_view, 11> kGaugeModeNames = {
    "livesum", "sum", "all", "liveall", "min", "livemin", "max", "livemax", "mostrecent", "livemostrecent", "shared"};

/// The mode of this name in kGaugeModeNames.
[[nodiscard]] std::optional<GaugeMode> GaugeModeFrom(std::string_view name) noexcept;
[[nodiscard]] bool IsLive(GaugeMode mode) noexcept;

/// One process' part of a gauge; a part whose owner has ended is taken over by the next process. All zero is nobody's.
struct alignas(64) GaugePart {
  std::atomic<std::uint64_t> owner;  ///< a ProcessToken; with kGaugePartTaken while it is being taken over
  std::atomic<std::uint64_t> value_bits;
  /// Mode sum: what earlier owners left, which is in value_bits too. A value of the present owner is the difference.
  std::atomic<std::uint64_t> base_bits;
  std::atomic<std::uint64_t> unix_ns;  ///< when it was set; 0: not since it was taken over
  std::atomic<std::uint64_t> next;     ///< the offset of the next part, or 0
};
inline constexpr std::uint64_t kGaugePartTaken = std::uint64_t{1} << 63U;

/// A gauge's cells in the shared segment; all zero is a gauge that nobody has touched.
struct GaugeCell {
  CellLife life;
  std::atomic<std::uint64_t> first_part;  ///< an offset; parts are only ever put in front
  std::atomic<std::uint64_t> shared_bits;
  /// Modes min, max and mostrecent: what is kept of parts taken over. The bits are inverted, so that zero is none.
  std::atomic<std::uint64_t> kept_inverted_bits;
  std::atomic<std::uint64_t> kept_unix_ns;
};

/// Which processes are alive, each looked up once. For one scrape, and one thread.
class Liveness {
 public:
  [[nodiscard]] bool IsAlive(ProcessToken token);

 private:
  std::unordered_map<ProcessToken, bool> known_;
};

/// A gauge of the segment, valid while its Segment lives. Any thread and process may use it, children after fork too: a
/// child writes to a part of its own, which begins at 0. The first use in a process finds that part; from then on
/// nothing here allocates, locks or throws. A default-constructed handle does nothing, and neither do one whose series
/// was removed and one for whose part there is no room (which counts as a dropped series).
class GaugeHandle {
 public:
  using Sample = std::pair<std::optional<std::uint32_t>, double>;  ///< the pid for modes all and liveall, the value

  GaugeHandle() = default;
  GaugeHandle(Segment* segment, GaugeCell* cell, GaugeMode mode) noexcept
      : segment_(segment), cell_(cell), life_(cell == nullptr ? 0 : cell->life.Remembered()), mode_(mode) {}
  GaugeHandle(const GaugeHandle& other) noexcept { *this = other; }
  GaugeHandle& operator=(const GaugeHandle& other) noexcept;
  ~GaugeHandle() = default;

  void Set(double value) const noexcept;
  /// Adds `amount`, which may be negative, to this process' value.
  void Add(double amount) const noexcept;
  /// Takes back what this process has set and added, as if it had ended. For modes named live; others keep it.
  void Withdraw() const noexcept;
  /// What this process has set and added; for mode shared, what all have.
  [[nodiscard]] double Own() const noexcept;

  /// What a scrape shows. None where a minimum, a maximum or the last value is asked for and nobody has set one.
  [[nodiscard]] std::vector<Sample> Samples(Liveness& liveness) const;

  /// Whether no process has used it since it was made, or since its family was cleared.
  [[nodiscard]] bool IsUntouched() const noexcept;
  [[nodiscard]] GaugeMode mode() const noexcept { return mode_; }
  /// Whether it has a series, which was not removed.
  [[nodiscard]] bool IsCurrent() const noexcept { return cell_ != nullptr && cell_->life.Is(life_); }
  [[nodiscard]] bool WasRemoved() const noexcept { return *this && !IsCurrent(); }
  explicit operator bool() const noexcept { return cell_ != nullptr; }
  [[nodiscard]] bool SameAs(const GaugeHandle& other) const noexcept { return cell_ == other.cell_; }

 private:
  [[nodiscard]] GaugePart* OwnPart() const noexcept;

  Segment* segment_ = nullptr;
  GaugeCell* cell_ = nullptr;
  std::uint64_t life_ = 0;
  GaugeMode mode_ = GaugeMode::kLiveSum;
  mutable std::atomic<GaugePart*> part_{nullptr};  ///< the part used last; it is ours if it says so
};

}  // namespace reqtrail
