#pragma once

#include "pg_extension/events.h"
#include "pg_extension/statement_text.h"

/// The errors and slow statements of this backend that are not yet in shared memory. They are noted where no lock may
/// be taken, while an error is on its way above all, and published at the next safe moment.
///
/// Backend-local. Nothing here raises an error or allocates.
namespace reqtrail::pending_events {

namespace detail {
inline bool any = false;
void PublishAll() noexcept;
}  // namespace detail

/// Takes no lock. Of more than a few errors without a safe moment in between, the last ones are kept.
void NoteError(const RequestKey& key, std::uint64_t queryid, int sqlstate, const char* message) noexcept;

/// Takes no lock. `duration` (nanoseconds) is so far: noted again before it was published, it takes the note's place.
void NoteSlowStatement(const RequestKey& key, std::uint64_t queryid, std::int64_t duration,
                       const StatementText& text) noexcept;

/// Moves what is noted into shared memory. REQUIRES: no lock of the extension is held, no error is on its way, and
/// shared memory is attached.
inline void Publish() noexcept {
  if (detail::any) detail::PublishAll();
}

}  // namespace reqtrail::pending_events
