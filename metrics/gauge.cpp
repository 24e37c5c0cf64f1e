#include "metrics/gauge.h"

#include <algorithm>
#include <bit>

#include "metrics/counter.h"
#include "metrics/gauge_parts.h"
#include "metrics/wall_clock.h"

namespace reqtrail {
namespace {

double Load(const std::atomic<std::uint64_t>& bits) noexcept {
  return std::bit_cast<double>(bits.load(std::memory_order_relaxed));
}

void Store(std::atomic<std::uint64_t>& bits, double value) noexcept {
  bits.store(std::bit_cast<std::uint64_t>(value), std::memory_order_relaxed);
}

// The samples of the modes that make one number of many.
class Fold {
 public:
  explicit Fold(GaugeMode mode) noexcept : mode_(mode) {}

  void Take(double value, std::uint64_t unix_ns) noexcept {
    switch (mode_) {
      case GaugeMode::kMin:
      case GaugeMode::kLiveMin: Choose(value, value < result_); break;
      case GaugeMode::kMax:
      case GaugeMode::kLiveMax: Choose(value, value > result_); break;
      case GaugeMode::kMostRecent:
      case GaugeMode::kLiveMostRecent:
        Choose(value, unix_ns > newest_);
        newest_ = std::max(newest_, unix_ns);
        break;
      default: result_ += value;
    }
  }

  [[nodiscard]] bool IsSum() const noexcept { return mode_ == GaugeMode::kLiveSum || mode_ == GaugeMode::kSum; }
  [[nodiscard]] bool HasResult() const noexcept { return IsSum() || has_result_; }
  [[nodiscard]] double result() const noexcept { return result_; }

 private:
  void Choose(double value, bool is_better) noexcept {
    if (!has_result_ || is_better) result_ = value;
    has_result_ = true;
  }

  GaugeMode mode_;
  bool has_result_ = false;
  double result_ = 0;
  std::uint64_t newest_ = 0;
};

}  // namespace

std::optional<GaugeMode> GaugeModeFrom(std::string_view name) noexcept {
  const auto* const found = std::ranges::find(kGaugeModeNames, name);
  if (found == kGaugeModeNames.end()) return std::nullopt;
  return static_cast<GaugeMode>(found - kGaugeModeNames.begin());
}

bool IsLive(GaugeMode mode) noexcept {
  return mode == GaugeMode::kLiveSum || mode == GaugeMode::kLiveAll || mode == GaugeMode::kLiveMin ||
         mode == GaugeMode::kLiveMax || mode == GaugeMode::kLiveMostRecent;
}

bool Liveness::IsAlive(ProcessToken token) {
  const auto [found, is_new] = known_.try_emplace(token, false);
  if (is_new) found->second = reqtrail::IsAlive(token);
  return found->second;
}

GaugeHandle& GaugeHandle::operator=(const GaugeHandle& other) noexcept {
  if (this == &other) return *this;
  segment_ = other.segment_;
  cell_ = other.cell_;
  life_ = other.life_;
  mode_ = other.mode_;
  part_.store(other.part_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  return *this;
}

GaugePart* GaugeHandle::OwnPart() const noexcept {
  if (!IsCurrent()) return nullptr;
  GaugePart* part = part_.load(std::memory_order_relaxed);
  if (part != nullptr && part->owner.load(std::memory_order_relaxed) == OwnProcessToken()) return part;
  part = GaugeParts(*segment_, *cell_, mode_).FindOrMake();
  part_.store(part, std::memory_order_relaxed);
  return part;
}

void GaugeHandle::Set(double value) const noexcept {
  if (mode_ == GaugeMode::kShared) {
    if (IsCurrent()) Store(cell_->shared_bits, value);
    return;
  }
  GaugePart* part = OwnPart();
  if (part == nullptr) return;
  Store(part->value_bits, mode_ == GaugeMode::kSum ? Load(part->base_bits) + value : value);
  const bool is_dated = mode_ == GaugeMode::kMostRecent || mode_ == GaugeMode::kLiveMostRecent;
  part->unix_ns.store(is_dated ? UnixNanoseconds() : 1, std::memory_order_release);
}

void GaugeHandle::Add(double amount) const noexcept {
  if (mode_ == GaugeMode::kShared) {
    if (IsCurrent()) AddToDouble(cell_->shared_bits, amount);
    return;
  }
  GaugePart* part = OwnPart();
  if (part == nullptr) return;
  AddToDouble(part->value_bits, amount);
  const bool is_dated = mode_ == GaugeMode::kMostRecent || mode_ == GaugeMode::kLiveMostRecent;
  if (is_dated) {
    part->unix_ns.store(UnixNanoseconds(), std::memory_order_release);
  } else if (part->unix_ns.load(std::memory_order_relaxed) == 0) {
    part->unix_ns.store(1, std::memory_order_release);
  }
}

void GaugeHandle::Withdraw() const noexcept {
  if (!IsLive(mode_)) return;
  GaugePart* part = OwnPart();
  if (part == nullptr) return;
  part->unix_ns.store(0, std::memory_order_release);
  Store(part->value_bits, 0);
}

double GaugeHandle::Own() const noexcept {
  if (cell_ == nullptr) return 0;
  if (mode_ == GaugeMode::kShared) return Load(cell_->shared_bits);
  const GaugePart* part = OwnPart();
  if (part == nullptr) return 0;
  return mode_ == GaugeMode::kSum ? Load(part->value_bits) - Load(part->base_bits) : Load(part->value_bits);
}

bool GaugeHandle::IsUntouched() const noexcept {
  if (cell_ == nullptr) return true;
  bool is_untouched = cell_->shared_bits.load(std::memory_order_relaxed) == 0;
  GaugeParts(*segment_, *cell_, mode_).ForEach([&](const GaugePart& part) {
    is_untouched = is_untouched && part.owner.load(std::memory_order_relaxed) == 0;
  });
  return is_untouched;
}

std::vector<GaugeHandle::Sample> GaugeHandle::Samples(Liveness& liveness) const {
  if (cell_ == nullptr) return {};
  if (mode_ == GaugeMode::kShared) return {{std::nullopt, Load(cell_->shared_bits)}};
  const bool is_each = mode_ == GaugeMode::kAll || mode_ == GaugeMode::kLiveAll;
  std::vector<Sample> samples;
  Fold fold(mode_);
  const std::uint64_t kept = cell_->kept_inverted_bits.load(std::memory_order_relaxed);
  if (kept != 0) fold.Take(std::bit_cast<double>(~kept), cell_->kept_unix_ns.load(std::memory_order_relaxed));
  GaugeParts(*segment_, *cell_, mode_).ForEach([&](GaugePart& part) {
    const std::uint64_t owner = part.owner.load(std::memory_order_acquire);
    const bool counts_always = mode_ == GaugeMode::kSum;
    if (!counts_always && (owner & kGaugePartTaken) != 0) return;
    const std::uint64_t unix_ns = part.unix_ns.load(std::memory_order_acquire);
    if (!counts_always && unix_ns == 0) return;
    const double value = Load(part.value_bits);
    if (IsLive(mode_) && !liveness.IsAlive(owner)) return;
    if (part.owner.load(std::memory_order_acquire) != owner && !counts_always) return;
    if (is_each) {
      samples.emplace_back(PidOf(owner), value);
    } else {
      fold.Take(value, unix_ns);
    }
  });
  if (!is_each && fold.HasResult()) samples.emplace_back(std::nullopt, fold.result());
  std::ranges::sort(samples);
  return samples;
}

}  // namespace reqtrail
