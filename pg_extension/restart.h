#pragma once

#include "pg_extension/shared_state.h"

/// pg_stat_requests.save: the statistics survive a clean restart, in pg_stat/pg_stat_requests.stat. The file is there
/// only while the server is not running, so that no backup and no standby gets it. In single-user mode it is left
/// alone.
namespace reqtrail::restart {

/// Fills the statistics, which are empty, from the file, and deletes it; a damaged one is set aside with a WARNING.
/// Arranges that the file is written when the server stops in good order. REQUIRES: runs in the postmaster, which is
/// starting, so that nobody else uses the shared memory. Raises no error.
void Restore(SharedState* state);

}  // namespace reqtrail::restart
