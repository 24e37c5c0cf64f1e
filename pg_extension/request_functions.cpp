#include "pg_extension/result_rows.h"
#include "pg_extension/ring.h"

/// The SQL functions about requests that have worked. Each SQL function carries the version of the SQL script that it
/// belongs to: a changed result gets a new function, and the old one stays for those who have not run ALTER EXTENSION
/// UPDATE.
namespace reqtrail {
namespace {

constexpr int kRequestColumns = kKeyColumns + kCounterCount + 2;
constexpr int kStatementColumns = kKeyColumns + 5;

void StoreRequest(const Record& record, Names& names, const ReturnSetInfo* result) {
  Row<kRequestColumns> row;
  row.PutKey(record.key, names);
#define REQTRAIL_PUT(kind, name) row.PutCounter<CounterKind::kind>(record.work.counters.name);
  REQTRAIL_COUNTERS(REQTRAIL_PUT)
#undef REQTRAIL_PUT
  if (const StatementWork* longest = record.work.statements.Longest()) {
    row.PutQueryId(longest->queryid);
    row.PutMilliseconds(static_cast<double>(longest->total_time));
  } else {
    row.PutNull();
    row.PutNull();
  }
  row.Store(result);
}

void StoreStatements(const Record& record, Names& names, const ReturnSetInfo* result) {
  for (const StatementWork& statement : record.work.statements.All()) {
    Row<kStatementColumns> row;
    row.PutKey(record.key, names);
    row.PutQueryId(statement.queryid);
    row.PutNumber(statement.calls);
    row.PutMilliseconds(static_cast<double>(statement.total_time));
    row.PutMilliseconds(statement.max_time);
    row.PutNumber(statement.rows);
    row.Store(result);
  }
}

using Store = void (*)(const Record& record, Names& names, const ReturnSetInfo* result);

void StoreVisible(const ring::Records& records, Names& names, Store store, const ReturnSetInfo* result) {
  for (std::size_t i = 0; i < records.count; ++i) {
    const Record& record = records.data[i];
    if (names.MaySee(record.key.role)) store(record, names, result);
  }
}

void StoreAll(FunctionCallInfo fcinfo, int columns, Store store) {
  const SharedState* state = RequireSharedState();
  const ReturnSetInfo* result = BeginResult(fcinfo, columns);
  Names names;
  // The rows of a shard are made in memory of their own, or a view of a million rows would leave that of a million.
  MemoryContext shard = AllocSetContextCreate(CurrentMemoryContext, "pg_stat_requests shard", ALLOCSET_DEFAULT_SIZES);
  MemoryContext outer = MemoryContextSwitchTo(shard);
  for (std::uint32_t i = 0; i < state->ShardCount(); ++i) {
    StoreVisible(ring::CopyShard(i), names, store, result);
    MemoryContextReset(shard);
    CHECK_FOR_INTERRUPTS();
  }
  MemoryContextSwitchTo(outer);
  MemoryContextDelete(shard);
}

void StoreOne(FunctionCallInfo fcinfo, int columns, Store store) {
  RequireSharedState();
  const ReturnSetInfo* result = BeginResult(fcinfo, columns);
  const text* wanted = PG_GETARG_TEXT_PP(0);
  const std::string_view id(VARDATA_ANY(wanted), VARSIZE_ANY_EXHDR(wanted));
  if (!IsRequestId(id)) return;
  RequestId request;
  request.Assign(id);
  Names names;
  StoreVisible(ring::CopyOf(request), names, store, result);
}

}  // namespace
}  // namespace reqtrail

extern "C" {

PGDLLEXPORT Datum pg_stat_requests_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_all_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_statements_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_statements_all_1_0(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(pg_stat_requests_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_all_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_statements_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_statements_all_1_0);

// pg_stat_requests(request_id text): the rows of one request.
Datum pg_stat_requests_1_0(PG_FUNCTION_ARGS) {
  reqtrail::StoreOne(fcinfo, reqtrail::kRequestColumns, &reqtrail::StoreRequest);
  return Datum{0};
}

// What the view pg_stat_requests reads: all rows.
Datum pg_stat_requests_all_1_0(PG_FUNCTION_ARGS) {
  reqtrail::StoreAll(fcinfo, reqtrail::kRequestColumns, &reqtrail::StoreRequest);
  return Datum{0};
}

// pg_stat_requests_statements(request_id text): the statements of one request.
Datum pg_stat_requests_statements_1_0(PG_FUNCTION_ARGS) {
  reqtrail::StoreOne(fcinfo, reqtrail::kStatementColumns, &reqtrail::StoreStatements);
  return Datum{0};
}

// What the view pg_stat_requests_statements reads: the statements of all requests.
Datum pg_stat_requests_statements_all_1_0(PG_FUNCTION_ARGS) {
  reqtrail::StoreAll(fcinfo, reqtrail::kStatementColumns, &reqtrail::StoreStatements);
  return Datum{0};
}

}  // extern "C"
