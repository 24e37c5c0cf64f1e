#include "log_sinks/dropped_lines.h"

#include <pthread.h>

#include <atomic>

namespace reqtrail {
namespace {

constinit std::array<std::atomic<std::uint64_t>, kDropReasonNames.size()> counts{};
constinit std::atomic<std::uint64_t> total{0};

void StartAtNone() {
  for (std::atomic<std::uint64_t>& count : counts) count.store(0, std::memory_order_relaxed);
  total.store(0, std::memory_order_relaxed);
}

[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, StartAtNone);

}  // namespace

void CountDropped(DropReason reason, std::uint64_t lines) noexcept {
  const auto place = static_cast<std::size_t>(reason);
  if (place == 0 || place >= counts.size() || lines == 0) return;
  counts.at(place).fetch_add(lines, std::memory_order_relaxed);
  total.fetch_add(lines, std::memory_order_release);
}

DroppedLines DroppedSoFar() noexcept {
  DroppedLines dropped{};
  for (std::size_t i = 0; i < dropped.size(); ++i) dropped.at(i) = counts.at(i).load(std::memory_order_relaxed);
  return dropped;
}

std::uint64_t DroppedInAll() noexcept { return total.load(std::memory_order_acquire); }

}  // namespace reqtrail
