#include "pg_extension/compat.h"
#include "pg_extension/hooks.h"
#include "pg_extension/settings.h"
#include "pg_extension/shared_state.h"

extern "C" {

REQTRAIL_MODULE_MAGIC("pg_stat_requests", REQTRAIL_VERSION);

// The server calls it by this name.
PGDLLEXPORT void _PG_init(void);  // NOLINT(*-reserved-identifier,cert-dcl*): its name

void _PG_init(void) {
  if (!process_shared_preload_libraries_in_progress) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pg_stat_requests must be loaded via \"shared_preload_libraries\""),
                    errhint("Add pg_stat_requests to \"shared_preload_libraries\" in postgresql.conf and restart the "
                            "server.")));
  }
  reqtrail::DefineSettings();
  reqtrail::SharedState::Install();
  reqtrail::InstallHooks();
  reqtrail::InstallTransactionCallback();
}

}  // extern "C"
