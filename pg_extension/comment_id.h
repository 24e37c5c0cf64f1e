#pragma once

#include "core/sql_comment.h"
#include "pg_extension/pg.h"
#include "pg_extension/settings.h"

/// The request id that a SQL comment names. It acts as a SET LOCAL right before its statement does: from the statement
/// on, to the end of the transaction, unless a comment of a later statement names another. The setting, where it has an
/// id, goes before it: then no comment is looked at.
///
/// Looked at is the whole text that the client sent with the statement, so in a message of several statements each of
/// them sees the same comment. What runs inside a statement is not looked at.
///
/// Backend-local, no locks.
namespace reqtrail::comment_id {

namespace detail {
inline bool taken = false;                // an id from a comment in this transaction, or a refusal
inline const char* nothing_in = nullptr;  // the text that LookAhead saw last, if there was nothing in it
void Take(const char* text);
void TakeAhead(const char* text) noexcept;
void Forget() noexcept;
}  // namespace detail

/// Whether a text of the client plainly has nothing to look at, as a few instructions can tell. `location` and `length`
/// are those of a statement in it.
inline bool PlainlyHasNothing(const char* text, int location, int length) {
  if (!reqtrail::detail::comments_count) return true;
  // The length is known where a semicolon ends the statement. If that ends the text too, it need not be read to its
  // end.
  if (length <= 0 || text[0] <= '/') return false;
  const char* end = text + location + length;
  const bool ends_text = end[0] == ';' && (end[1] == '\0' || (end[1] == '\n' && end[2] == '\0'));
  return ends_text && end[-1] != '/' && !reqtrail::detail::IsSqlSpace(end[-1]);
}

/// Whether a text has nothing to look at.
inline bool HasNothing(const char* text, int location, int length) {
  return PlainlyHasNothing(text, location, length) || !MayNameRequestId(text);
}

/// What was planned has started, or will not start any more.
inline void ForgetPlanned() noexcept { detail::nothing_in = nullptr; }

/// Whether the planner saw that there is nothing in this text, and no other came since.
inline bool PlannedWithNothing(const char* text) noexcept { return text == detail::nothing_in; }

/// The client's statement that is planned has nothing to look at.
inline void NotePlannedWithNothing(const char* text) noexcept { detail::nothing_in = text; }

/// A statement of the client is about to be planned: takes the id of its comments, so that planning counts for it. Says
/// nothing of what is no id; Look does, when the statement starts. REQUIRES: as Look.
inline void LookAhead(const char* text, int location, int length) noexcept {
  ForgetPlanned();
  if (HasNothing(text, location, length)) {
    NotePlannedWithNothing(text);
  } else {
    detail::TakeAhead(text);
  }
}

/// A statement of the client is about to start, or BEGIN. REQUIRES: it is a top-level one, and text is what the client
/// sent with it. May report a WARNING, once in a transaction, of an id that is none.
inline void Look(const char* text, const PlannedStmt* statement) {
  ForgetPlanned();
  if (!HasNothing(text, statement->stmt_location, statement->stmt_len)) detail::Take(text);
}

/// Whether a statement has nothing to look at, which for one that the planner has just planned is known.
inline bool HasNothingPlanned(const char* text, const PlannedStmt* statement) {
  return PlannedWithNothing(text) || HasNothing(text, statement->stmt_location, statement->stmt_len);
}

/// As Look, for what the planner has just planned.
inline void LookAtPlanned(const char* text, const PlannedStmt* statement) {
  if (PlannedWithNothing(text)) {
    ForgetPlanned();
  } else {
    Look(text, statement);
  }
}

/// As Look, for a statement that failed before it could start. REQUIRES: a transaction is under way. Reports nothing;
/// cannot fail.
void LookAtFailed(const char* text) noexcept;

/// The transaction has ended, and no statement of the client goes on.
inline void TransactionEnded() noexcept {
  if (detail::taken) detail::Forget();
}

/// What the comments of a text name, for one who only wants to know. All empty where parse_comments is off. Cannot
/// fail.
[[nodiscard]] SqlCommentId Find(const char* text) noexcept;

}  // namespace reqtrail::comment_id
