#pragma once

#include <cstdint>

/// What this backend has done for a request since the last flush: the "part" of the transaction under way.
///
/// A part is opened when an id comes into effect, is closed (flushed into the ring) when another id, another role or
/// the transaction's end comes, and belongs to one (request id, database, role). Work belongs to the part that is open
/// when a top-level statement starts. Block and WAL use are one difference of the server's own counters over the whole
/// part, so that planning, failed statements, triggers, parallel workers and the commit record are in it.
///
/// Backend-local, no locks but the ring's in a flush. Functions marked "cannot fail" raise no error and allocate
/// nothing.
namespace reqtrail::accumulator {

/// The setting changed. Takes effect when the running top-level statement has ended. Cannot fail.
void RequestIdChanged() noexcept;

/// Makes the open part the one of the id and role now in effect. REQUIRES: no top-level statement is running.
void Settle() noexcept;

/// A top-level statement starts. `statement` tells apart those that may be executed in several steps (a portal read in
/// batches): the steps after the first continue it. Returns false, and nothing is recorded, when no id is in effect.
[[nodiscard]] bool BeginStatement(const void* statement, bool first_step) noexcept;

/// The (step of the) statement for which BeginStatement returned true ended, or failed. Cannot fail.
void EndStatement(bool failed) noexcept;

/// The statement that ended last goes on: its AFTER triggers. EndStatement must follow if this returns true; false: it
/// is not the one, or it was not recorded. Cannot fail.
[[nodiscard]] bool ResumeStatement(const void* statement) noexcept;

/// Rows that a statement under way returned or changed.
void AddRows(std::uint64_t rows) noexcept;

/// What follows is transaction control, maybe the end of the transaction: an error in it is not a statement's. Until
/// then, the next statement or ExpectStatement.
void ExpectEnd() noexcept;

/// The transaction goes on after all: the next error may again be that of a statement.
void ExpectStatement() noexcept;

/// The server reports an error of this backend. Cannot fail; takes no lock.
void CountError(bool fatal) noexcept;

/// The transaction has ended (at XACT_EVENT_COMMIT, PREPARE or ABORT). Cannot fail.
void EndTransaction(bool rolled_back) noexcept;

}  // namespace reqtrail::accumulator
