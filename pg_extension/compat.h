#pragma once

#include <cstdlib>

#include "pg_extension/pg.h"

/// Every difference between the supported server versions (15 to 18), and nothing else.

#if PG_VERSION_NUM < 150000
#error "pg_stat_requests needs PostgreSQL 15 or later"
#endif

/// The run hook's parameters, and how they are passed on: 18 dropped execute_once.
#if PG_VERSION_NUM >= 180000
#define REQTRAIL_EXECUTOR_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define REQTRAIL_EXECUTOR_RUN_ARGUMENTS query, direction, count
#else
#define REQTRAIL_EXECUTOR_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define REQTRAIL_EXECUTOR_RUN_ARGUMENTS query, direction, count, execute_once
#endif

/// The planner hook's parameters, and how they are passed on: 19 added the state of EXPLAIN.
#if PG_VERSION_NUM >= 190000
#define REQTRAIL_PLANNER_PARAMETERS \
  Query *query, const char *text, int cursor_options, ParamListInfo parameters, ExplainState *explain
#define REQTRAIL_PLANNER_ARGUMENTS query, text, cursor_options, parameters, explain
#else
#define REQTRAIL_PLANNER_PARAMETERS Query *query, const char *text, int cursor_options, ParamListInfo parameters
#define REQTRAIL_PLANNER_ARGUMENTS query, text, cursor_options, parameters
#endif

/// 18 shows a module's name and version in pg_get_loaded_modules().
#if PG_VERSION_NUM >= 180000
#define REQTRAIL_MODULE_MAGIC(name_text, version_text) PG_MODULE_MAGIC_EXT(.name = name_text, .version = version_text)
#else
#define REQTRAIL_MODULE_MAGIC(name_text, version_text) PG_MODULE_MAGIC
#endif

namespace reqtrail {

/// This process's number among the processes of the server, from 0; REQUIRES MyProc. Below MaxBackends for every
/// backend.
inline int ProcessNumber() {
#if PG_VERSION_NUM >= 170000
  return MyProcNumber;
#else
  return MyProc->pgprocno;
#endif
}

/// Memory for a setting's value or `extra`: plain malloc before 16. Returns nullptr when there is none.
inline void *AllocateForSetting(std::size_t bytes) {
#if PG_VERSION_NUM >= 160000
  return guc_malloc(LOG, bytes);
#else
  return std::malloc(bytes);
#endif
}

inline void FreeForSetting(void *memory) {
#if PG_VERSION_NUM >= 160000
  guc_free(memory);
#else
  std::free(memory);
#endif
}

/// Whether a backslash escapes in '...': where standard_conforming_strings is off, which 19 no longer allows.
inline bool BackslashEscapes() {
#if PG_VERSION_NUM >= 190000
  return false;
#else
  return !standard_conforming_strings;
#endif
}

/// A duration that the server measured, in nanoseconds: a struct timespec before 16.
inline std::int64_t ToNanoseconds(const instr_time &duration) {
#if PG_VERSION_NUM >= 160000
  return INSTR_TIME_GET_NANOSEC(duration);
#else
  return (static_cast<std::int64_t>(duration.tv_sec) * 1'000'000'000) + duration.tv_nsec;
#endif
}

/// Time that this backend has spent on shared and local blocks, in nanoseconds: told apart from 17 on.
inline std::int64_t BlockReadTime() {
#if PG_VERSION_NUM >= 170000
  return ToNanoseconds(pgBufferUsage.shared_blk_read_time) + ToNanoseconds(pgBufferUsage.local_blk_read_time);
#else
  return ToNanoseconds(pgBufferUsage.blk_read_time);
#endif
}

inline std::int64_t BlockWriteTime() {
#if PG_VERSION_NUM >= 170000
  return ToNanoseconds(pgBufferUsage.shared_blk_write_time) + ToNanoseconds(pgBufferUsage.local_blk_write_time);
#else
  return ToNanoseconds(pgBufferUsage.blk_write_time);
#endif
}

/// Prepares a set-returning function's tuple store; 15.0 knew it only by its first name.
inline void BeginRows(FunctionCallInfo fcinfo) {
#if PG_VERSION_NUM >= 160000
  InitMaterializedSRF(fcinfo, 0);
#else
  SetSingleFuncCall(fcinfo, 0);
#endif
}

}  // namespace reqtrail
