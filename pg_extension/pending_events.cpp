#include "pg_extension/pending_events.h"

#include <array>

#include "pg_extension/shared_state.h"

namespace reqtrail::pending_events {
namespace {

constexpr std::uint32_t kMaxErrors = 4;

std::array<ErrorEvent, kMaxErrors> errors;  // the last ones, at their number % kMaxErrors
std::uint32_t error_count = 0;
SlowEvent slow;
bool has_slow = false;

void FillHead(EventHead& head, const RequestKey& key, std::uint64_t queryid) noexcept {
  head.time = GetCurrentTimestamp();
  head.queryid = queryid;
  head.pid = MyProcPid;
  head.key.Assign(key);
}

// Cut between two characters.
template <std::size_t kBytes>
void Keep(EventText<kBytes>& kept, std::string_view text) noexcept {
  const int encoding = GetDatabaseEncoding();
  // It is cut before its characters are looked at: a statement's text may be as long as memory is.
  const std::size_t at_hand = std::min(text.size(), kBytes + MAX_MULTIBYTE_CHAR_LEN);
  std::size_t size = text.size();
  if (size > kBytes) {
    const char* start = text.data();
    size = static_cast<std::size_t>(
        pg_encoding_mbcliplen(encoding, start, static_cast<int>(at_hand), static_cast<int>(kBytes)));
  }
  kept.Assign(text.substr(0, size), encoding);
}

}  // namespace

void NoteError(const RequestKey& key, std::uint64_t queryid, int sqlstate, const char* message) noexcept {
  ErrorEvent& error = errors[error_count++ % kMaxErrors];
  FillHead(error.head, key, queryid);
  error.sqlstate = sqlstate;
  Keep(error.message, message != nullptr ? message : "");
  detail::any = true;
}

void NoteSlowStatement(const RequestKey& key, std::uint64_t queryid, std::int64_t duration,
                       const StatementText& text) noexcept {
  FillHead(slow.head, key, queryid);
  slow.duration = duration;
  Keep(slow.text, text.View());
  has_slow = true;
  detail::any = true;
}

void detail::PublishAll() noexcept {
  SharedState* state = SharedState::Get();
  any = false;
  if (error_count > 0) {
    LWLockAcquire(state->ErrorsLock(), LW_EXCLUSIVE);
    const std::uint32_t first = error_count > kMaxErrors ? error_count - kMaxErrors : 0;
    if (first > 0) state->Errors().CountLost(first, errors[first % kMaxErrors].head.time);
    for (std::uint32_t i = first; i < error_count; ++i) state->Errors().Add(errors[i % kMaxErrors]);
    LWLockRelease(state->ErrorsLock());
    error_count = 0;
  }
  if (has_slow) {
    LWLockAcquire(state->SlowStatementsLock(), LW_EXCLUSIVE);
    state->SlowStatements().Add(slow);
    LWLockRelease(state->SlowStatementsLock());
    has_slow = false;
  }
}

}  // namespace reqtrail::pending_events
