#include "pg_extension/saved_file.h"

#include <algorithm>

namespace reqtrail::saved_file {
namespace {

// The server's END_TIMESTAMP: later moments cannot be shown.
constexpr std::int64_t kEndOfTime = 9223371331200000000;

bool IsMoment(std::int64_t moment) noexcept { return moment >= 0 && moment < kEndOfTime; }

bool IsValidKey(const RequestKey& key) noexcept {
  return key.id.size <= kRequestIdMaxBytes && IsRequestId(key.id.View());
}

template <std::size_t kBytes>
bool IsValidText(const EventText<kBytes>& text) noexcept {
  return text.size <= kBytes && text.View().find('\0') == std::string_view::npos;
}

bool IsValidHead(const EventHead& head) noexcept { return IsMoment(head.time) && IsValidKey(head.key); }

bool IsValidTotals(const SavedTotals& totals) noexcept { return IsMoment(totals.overwritten_until); }

// A set of backends has the sign bit for one of them.
template <CounterKind kKind>
bool IsValidCounter(std::int64_t value) noexcept {
  if constexpr (kKind == CounterKind::kEarliest || kKind == CounterKind::kLatest) return IsMoment(value);
  return kKind == CounterKind::kBackends || value >= 0;
}

}  // namespace

bool IsValid(const SavedRecord& record) noexcept {
  bool valid = IsValidKey(record.key) && record.work.statements.IsValid();
#define REQTRAIL_CHECK(kind, name) valid = valid && IsValidCounter<CounterKind::kind>(record.work.counters.name);
  REQTRAIL_COUNTERS(REQTRAIL_CHECK)
#undef REQTRAIL_CHECK
  return valid;
}

bool IsValid(const ErrorEvent& error) noexcept { return IsValidHead(error.head) && IsValidText(error.message); }

bool IsValid(const SlowEvent& slow) noexcept {
  return IsValidHead(slow.head) && slow.duration >= 0 && IsValidText(slow.text);
}

const char* FaultOf(const Header& header) noexcept {
  const Header expected = MakeHeader();
  if (header.magic != expected.magic) return "it is not a file of pg_stat_requests";
  if (header.version != expected.version || header.record_bytes != expected.record_bytes ||
      header.error_bytes != expected.error_bytes || header.slow_bytes != expected.slow_bytes) {
    return "another version of pg_stat_requests wrote it";
  }
  const bool valid = IsMoment(header.stats_reset) && IsValidTotals(header.recent) && IsValidTotals(header.notable) &&
                     IsValidTotals(header.errors) && IsValidTotals(header.slow);
  return valid ? nullptr : "its header is damaged";
}

}  // namespace reqtrail::saved_file
