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
inline bool taken = false;  // an id from a comment in this transaction, or a refusal
void Take(const char* text);
void Forget() noexcept;
}  // namespace detail

/// A statement of the client is about to start, or BEGIN. REQUIRES: it is a top-level one, and text is what the client
/// sent with it. May report a WARNING, once in a transaction, of an id that is none.
inline void Look(const char* text, const PlannedStmt* statement) {
  if (!reqtrail::detail::comments_count) return;
  // Its length is known where a semicolon ends it. If that ends the text too, the text need not be read to its end.
  if (statement->stmt_len > 0 && text[0] > '/') {
    const char* end = text + statement->stmt_location + statement->stmt_len;
    const bool ends_text = end[0] == ';' && (end[1] == '\0' || (end[1] == '\n' && end[2] == '\0'));
    if (ends_text && end[-1] != '/' && !reqtrail::detail::IsSqlSpace(end[-1])) return;
  }
  if (MayNameRequestId(text)) detail::Take(text);
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
