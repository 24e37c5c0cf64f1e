#pragma once

#include <cstdint>

#include "pg_extension/settings.h"
#include "pg_extension/statement_text.h"

/// What this backend has done for a request since the last flush: the "part" of the transaction under way.
///
/// A part is opened when an id comes into effect, is closed (flushed into the ring) when another id, another role or
/// the transaction's end comes, and belongs to one (request id, database, role). Work belongs to the part that is open
/// when a top-level statement starts. Block and WAL use are one difference of the server's own counters over the whole
/// part, so that planning, failed statements, triggers, parallel workers and the commit record are in it. The time
/// between two statements, until the client's next message comes, is the transaction's idle time.
///
/// Backend-local, no locks but the ring's in a flush. Functions marked "cannot fail" raise no error and allocate
/// nothing.
namespace reqtrail::accumulator {

/// The setting changed. Takes effect when the running top-level statement has ended. Cannot fail.
void RequestIdChanged() noexcept;

namespace detail {
inline bool part_is_open = false;
inline bool id_changed = false;  // since Settle last looked
void SettleChange() noexcept;
}  // namespace detail

/// Makes the open part the one of the id and role now in effect. REQUIRES: no top-level statement is running.
inline void Settle() noexcept {
  if (detail::id_changed) detail::SettleChange();
}

/// BEGIN was executed.
void BeginTransaction() noexcept;

/// Whether there is an id to record for, or a part to close: a few instructions for what is untagged.
[[nodiscard]] inline bool MayRecord() noexcept { return RecordedRequestId() != nullptr || detail::part_is_open; }

/// A top-level statement starts. `statement` tells apart those that may be executed in several steps (a portal read in
/// batches): the steps after the first continue it. `text` must stay valid until EndStatement. Returns false, and
/// nothing is recorded, when work is recorded for no id. REQUIRES: MayRecord().
[[nodiscard]] bool BeginStatement(const void* statement, bool first_step, const StatementText& text) noexcept;

/// The (step of the) statement for which BeginStatement returned true ended, or failed. `rows` are those that it
/// returned or changed. Cannot fail.
void EndStatement(bool failed, std::uint64_t rows) noexcept;

/// The statement that ended last goes on: its AFTER triggers. EndStatement must follow if this returns true; false: it
/// is not the one, or it was not recorded. Cannot fail.
[[nodiscard]] bool ResumeStatement(const void* statement) noexcept;

/// Whether statements inside of the one under way are told apart. False if none is.
[[nodiscard]] bool RecordsNested() noexcept;

/// A statement inside of another ran for `nanoseconds`. REQUIRES: RecordsNested() when it started.
void AddNested(const StatementText& text, bool first_step, std::int64_t nanoseconds, std::uint64_t rows) noexcept;

/// The server plans a query. Returns whether its time is wanted, and then EndPlanning must follow, unless it fails.
/// REQUIRES: MayRecord().
[[nodiscard]] bool BeginPlanning() noexcept;
void EndPlanning() noexcept;

/// What follows is transaction control, maybe the end of the transaction: an error in it is not a statement's. Until
/// then, the next statement or ExpectStatement.
void ExpectEnd() noexcept;

/// The transaction goes on after all: the next error may again be that of a statement.
void ExpectStatement() noexcept;

/// The server reports an error of this backend. Cannot fail; takes no lock.
void CountError(int sqlstate, const char* message, bool fatal) noexcept;

/// The transaction is about to be committed or prepared (at XACT_EVENT_PRE_COMMIT or PRE_PREPARE).
void BeginCommit() noexcept;

/// The transaction has ended (at XACT_EVENT_COMMIT, PREPARE or ABORT). Cannot fail.
void EndTransaction(bool rolled_back) noexcept;

}  // namespace reqtrail::accumulator
