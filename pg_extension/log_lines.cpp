#include "pg_extension/log_lines.h"

#include <cstring>

#include "pg_extension/comment_id.h"

namespace reqtrail::log_lines {
namespace {

constexpr std::string_view kLabel = "request_id: ";

// The id that was in effect when the last transaction ended, if detail::last_had_id.
struct Ended {
  RequestId id;
  std::int64_t message = 0;  // TimestampTz at which the client's message came that ended it
};
Ended ended;

// Whether what is logged now still belongs to the transaction that has ended: while it ends, in the rest of the message
// that ended it, and while a failed block waits for its ROLLBACK.
bool IsOfEnded() noexcept {
  if (!detail::last_had_id || IsTransactionState()) return false;
  return ended.message == GetCurrentStatementStartTimestamp() || IsAbortedTransactionBlockState();
}

// Fills `id`, with size 0 if the line is about no request.
void FindIdOfLine(RequestId& id) noexcept {
  id.size = 0;
  if (MyDatabaseId == InvalidOid) return;
  if (const RequestId* in_effect = RequestIdInEffect()) {
    id.Assign(in_effect->View());
  } else if (IsOfEnded()) {
    id.Assign(ended.id.View());
  } else if (debug_query_string != nullptr) {
    // Nothing runs yet: the text is being logged, parsed or planned.
    id.Assign(comment_id::Find(debug_query_string).View());
  }
}

}  // namespace

void AddRequestId(ErrorData* line) noexcept {
  if (!LogsRequestId()) return;
  RequestId id;
  FindIdOfLine(id);
  if (id.size == 0) return;
  const char* shown = line->detail_log != nullptr ? line->detail_log : line->detail;
  const std::size_t kept = shown != nullptr ? std::strlen(shown) : 0;
  const std::size_t bytes = kept + 1 + kLabel.size() + id.size + 1;
  if (bytes > MaxAllocSize) return;
  // Where the server keeps, and frees, the texts of this line.
  auto* detail = static_cast<char*>(MemoryContextAllocExtended(line->assoc_context, bytes, MCXT_ALLOC_NO_OOM));
  if (detail == nullptr) return;
  char* end = detail;
  if (kept > 0) {
    std::memcpy(end, shown, kept);
    end += kept;
    *end++ = '\n';
  }
  std::memcpy(end, kLabel.data(), kLabel.size());
  end += kLabel.size();
  std::memcpy(end, id.bytes, id.size);
  end[id.size] = '\0';
  if (line->detail_log != nullptr) pfree(line->detail_log);
  line->detail_log = detail;
}

void detail::Remember(const RequestId& id) noexcept {
  ended.id.Assign(id.View());
  ended.message = GetCurrentStatementStartTimestamp();
}

}  // namespace reqtrail::log_lines
