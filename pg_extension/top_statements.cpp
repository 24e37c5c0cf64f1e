#include "pg_extension/top_statements.h"

#include <algorithm>
#include <limits>

#include "pg_extension/counters.h"

namespace reqtrail {
namespace {

std::uint32_t AddSaturated(std::uint32_t a, std::uint32_t b) noexcept {
  const std::uint32_t sum = a + b;
  return sum < a ? std::numeric_limits<std::uint32_t>::max() : sum;
}

void AddTo(StatementWork& entry, const StatementWork& work) noexcept {
  entry.total_time = AddWrapping(entry.total_time, work.total_time);
  entry.calls = AddSaturated(entry.calls, work.calls);
  entry.rows = AddSaturated(entry.rows, work.rows);
  entry.max_time = std::max(entry.max_time, work.max_time);
  entry.inherited += work.inherited;
}

}  // namespace

std::uint32_t TopStatements::Add(const StatementWork& work) noexcept {
  for (std::uint32_t i = 0; i < used_; ++i) {
    if (entries_[i].queryid != work.queryid) continue;
    AddTo(entries_[i], work);
    return 0;
  }
  if (used_ < kPlaces) {
    entries_[used_++] = work;
    return 0;
  }
  StatementWork* lightest = entries_.data();
  for (StatementWork& entry : entries_) {
    if (entry.Weight() < lightest->Weight()) lightest = &entry;
  }
  const std::uint32_t dropped = lightest->calls;
  const float weight = lightest->Weight();
  *lightest = work;
  lightest->inherited += weight;
  return dropped;
}

std::uint64_t TopStatements::Add(const TopStatements& others) noexcept {
  std::uint64_t dropped = 0;
  for (const StatementWork& work : others.All()) dropped += Add(work);
  return dropped;
}

void TopStatements::Assign(const TopStatements& other) noexcept {
  used_ = other.used_;
  for (std::uint32_t i = 0; i < used_; ++i) entries_[i] = other.entries_[i];
}

const StatementWork* TopStatements::Longest() const noexcept {
  const StatementWork* longest = nullptr;
  for (const StatementWork& entry : All()) {
    if (longest == nullptr || entry.total_time > longest->total_time) longest = &entry;
  }
  return longest;
}

bool TopStatements::IsValid() const noexcept {
  if (used_ > kPlaces) return false;
  return std::ranges::all_of(All(), [](const StatementWork& entry) {
    return entry.queryid != 0 && entry.total_time >= 0 && entry.max_time >= 0 && entry.inherited >= 0;
  });
}

}  // namespace reqtrail
