#pragma once

namespace reqtrail {

/// Chains onto the executor, utility and log hooks. Call once, from _PG_init in the postmaster. The hooks watch
/// top-level statements only; what runs inside a statement (functions, triggers, DO, procedures, cursors' queries) is
/// part of it. A SET of the request id at top level is handed straight to the server, past every other library's
/// ProcessUtility hook, whatever the order in shared_preload_libraries.
void InstallHooks();

/// Registers for the end of transactions. Call once, from _PG_init in the postmaster.
void InstallTransactionCallback();

}  // namespace reqtrail
