#pragma once

#include "pg_extension/pg.h"
#include "pg_extension/settings.h"

/// The request id in the lines of the server log, and only there: it goes to the end of a line's detail as the server
/// logs it, which is not what the client is sent.
namespace reqtrail::log_lines {

/// Adds the id to a line that is being logged, if there is one. For an emit_log_hook: raises no error and takes no
/// lock; without memory for it, the line goes without.
void AddRequestId(ErrorData* line) noexcept;

namespace detail {
inline bool last_had_id = false;  // the transaction that ended last
void Remember(const RequestId& id) noexcept;
}  // namespace detail

/// The transaction is ending (at XACT_EVENT_COMMIT, PREPARE or ABORT), and its id with it. Lines that follow, such as
/// the duration of the message that ended it, are still about this id.
inline void TransactionEnds() noexcept {
  const RequestId* id = RequestIdInEffect();
  detail::last_had_id = id != nullptr;
  if (id != nullptr) detail::Remember(*id);
}

}  // namespace reqtrail::log_lines
