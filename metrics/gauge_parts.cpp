#include "metrics/gauge_parts.h"

#include <atomic>
#include <bit>

#include "metrics/threads_lock.h"

namespace reqtrail {
namespace {

// Mode all shows the ended processes too: so many of them are kept before their parts are used again.
constexpr std::uint32_t kKeptParts = 64;

}  // namespace

GaugePart* GaugeParts::Find(ProcessToken self) const noexcept {
  GaugePart* found = nullptr;
  ForEach([&](GaugePart& part) {
    if (found == nullptr && part.owner.load(std::memory_order_acquire) == self) found = &part;
  });
  return found;
}

GaugePart* GaugeParts::FindOrMake() noexcept {
  const ThreadsLock lock;
  const ProcessToken self = OwnProcessToken();
  if (GaugePart* part = Find(self)) return part;
  if (GaugePart* part = TakeOver(self)) return part;
  return Make(self);
}

GaugePart* GaugeParts::TakeOver(ProcessToken self) noexcept {
  std::uint32_t parts = 0;
  if (mode_ == GaugeMode::kAll) ForEach([&](GaugePart& /*part*/) { ++parts; });
  const bool may_take_any = mode_ != GaugeMode::kAll || parts >= kKeptParts;
  GaugePart* taken = nullptr;
  ForEach([&](GaugePart& part) {
    if (taken != nullptr) return;
    const std::uint64_t owner = part.owner.load(std::memory_order_acquire);
    const ProcessToken process = owner & ~kGaugePartTaken;
    const bool had_our_pid = PidOf(process) == PidOf(self);  // two samples must not have the same pid
    const bool is_free = owner == 0;                         // of a gauge that was removed
    if (!is_free && !had_our_pid && (!may_take_any || IsAlive(process))) return;
    if (TakeOver(part, owner, self)) taken = &part;
  });
  return taken;
}

// Killed in between, we leave a part that is marked as taken by a process that has ended: the next one takes it over.
bool GaugeParts::TakeOver(GaugePart& part, std::uint64_t owner, ProcessToken self) noexcept {
  if ((owner & kGaugePartTaken) == 0) Keep(part, owner);
  if (!part.owner.compare_exchange_strong(owner, self | kGaugePartTaken, std::memory_order_acq_rel)) return false;
  if (mode_ == GaugeMode::kSum) {
    part.base_bits.store(part.value_bits.load(std::memory_order_relaxed), std::memory_order_relaxed);
  } else {
    part.unix_ns.store(0, std::memory_order_relaxed);
    part.value_bits.store(0, std::memory_order_relaxed);
  }
  part.owner.store(self, std::memory_order_release);
  return true;
}

// What a part leaves behind when it is used again. To do it twice changes nothing, so that a kill in between does not
// matter.
void GaugeParts::Keep(const GaugePart& part, std::uint64_t owner) noexcept {
  const std::uint64_t unix_ns = part.unix_ns.load(std::memory_order_acquire);
  if (unix_ns == 0 || (mode_ != GaugeMode::kMin && mode_ != GaugeMode::kMax && mode_ != GaugeMode::kMostRecent)) return;
  const std::uint64_t bits = part.value_bits.load(std::memory_order_acquire);
  if (part.owner.load(std::memory_order_acquire) != owner) return;  // somebody else took it over, and kept it
  const auto value = std::bit_cast<double>(bits);
  std::uint64_t kept = cell_.kept_inverted_bits.load(std::memory_order_relaxed);
  for (;;) {
    const auto kept_value = std::bit_cast<double>(~kept);
    const bool is_better = kept == 0 || (mode_ == GaugeMode::kMin && value < kept_value) ||
                           (mode_ == GaugeMode::kMax && value > kept_value) ||
                           (mode_ == GaugeMode::kMostRecent && unix_ns > cell_.kept_unix_ns.load());
    if (!is_better) return;
    if (cell_.kept_inverted_bits.compare_exchange_weak(kept, ~bits, std::memory_order_relaxed)) break;
  }
  cell_.kept_unix_ns.store(unix_ns, std::memory_order_relaxed);
}

GaugePart* GaugeParts::Make(ProcessToken self) noexcept {
  const std::uint64_t offset = segment_.AllocatePart();
  GaugePart* part = segment_.PartAt(offset);
  if (part == nullptr) return nullptr;
  part->owner.store(self, std::memory_order_relaxed);
  std::uint64_t first = cell_.first_part.load(std::memory_order_relaxed);
  do {
    part->next.store(first, std::memory_order_relaxed);
  } while (!cell_.first_part.compare_exchange_weak(first, offset, std::memory_order_acq_rel));
  return part;
}

}  // namespace reqtrail
