#include "pg_extension/clock.h"
#include "pg_extension/result_rows.h"
#include "pg_extension/ring.h"

/// The SQL functions about requests in flight and about the extension itself, and reset.
namespace reqtrail {
namespace {

constexpr int kActivityColumns = 1 + kKeyColumns + 7;
constexpr int kInfoColumns = 21;

// Whether the process with this number waits for a heavyweight lock. Not exact at any moment, as in pg_stat_activity.
bool WaitsForLock(std::uint32_t process) {
  constexpr std::uint32_t kClass = 0xFF000000U;
  return (ProcGlobal->allProcs[process].wait_event_info & kClass) == PG_WAIT_LOCK;
}

// When nothing was lost any more: since the reset, or the latest of what was lost.
void PutCompleteSince(Row<kInfoColumns>& row, std::int64_t reset, std::int64_t lost_until) {
  row.PutMoment(Max(reset, lost_until));
}

void PutRing(Row<kInfoColumns>& row, const ShardTotals& totals, std::int64_t reset) {
  row.PutNumber(totals.capacity);
  row.PutNumber(totals.used);
  row.PutNumber(static_cast<std::int64_t>(totals.overwritten));
  PutCompleteSince(row, reset, totals.overwritten_until);
}

template <typename Event>
void PutRing(Row<kInfoColumns>& row, const EventRing<Event>& ring, LWLock* lock, std::int64_t reset) {
  LWLockAcquire(lock, LW_SHARED);
  const std::int64_t used = ring.used();
  const auto overwritten = static_cast<std::int64_t>(ring.overwritten());
  const std::int64_t lost_until = ring.overwritten_until();
  LWLockRelease(lock);
  row.PutNumber(ring.capacity());
  row.PutNumber(used);
  row.PutNumber(overwritten);
  PutCompleteSince(row, reset, lost_until);
}

template <typename Change>
void ChangeEvents(SharedState* state, const Change& change) {
  LWLockAcquire(state->ErrorsLock(), LW_EXCLUSIVE);
  change(state->Errors());
  LWLockRelease(state->ErrorsLock());
  LWLockAcquire(state->SlowStatementsLock(), LW_EXCLUSIVE);
  change(state->SlowStatements());
  LWLockRelease(state->SlowStatementsLock());
}

}  // namespace
}  // namespace reqtrail

extern "C" {

PGDLLEXPORT Datum pg_stat_requests_activity_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_info_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_reset_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_reset_one_1_0(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(pg_stat_requests_activity_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_info_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_reset_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_reset_one_1_0);

// What the view pg_stat_requests_activity reads: one row per backend that works for a request now.
Datum pg_stat_requests_activity_1_0(PG_FUNCTION_ARGS) {
  reqtrail::SharedState* state = reqtrail::RequireSharedState();
  const ReturnSetInfo* result = reqtrail::BeginResult(fcinfo, reqtrail::kActivityColumns);
  reqtrail::Names names;
  reqtrail::Activity activity;
  for (std::uint32_t i = 0; i < state->SlotCount(); ++i) {
    if (!state->SlotAt(i)->Read(&activity) || !names.MaySee(activity.key.role)) continue;
    const reqtrail::Progress& progress = activity.progress;
    reqtrail::Row<reqtrail::kActivityColumns> row;
    row.Put(Int32GetDatum(activity.pid));
    row.PutKey(activity.key, names);
    row.PutMoment(activity.xact_start);
    row.PutMoment(activity.since);
    row.PutMomentOrNull(reqtrail::clock::ToTimestamp(progress.statement_start));
    row.PutNumber(progress.statements);
    row.PutMilliseconds(static_cast<double>(progress.total_time));
    row.PutMilliseconds(static_cast<double>(progress.idle_time));
    row.Put(BoolGetDatum(reqtrail::WaitsForLock(i)));
    row.Store(result);
  }
  return Datum{0};
}

// What the view pg_stat_requests_info reads: one row about the extension itself.
Datum pg_stat_requests_info_1_0(PG_FUNCTION_ARGS) {
  reqtrail::SharedState* state = reqtrail::RequireSharedState();
  const ReturnSetInfo* result = reqtrail::BeginResult(fcinfo, reqtrail::kInfoColumns);
  const auto reset = static_cast<std::int64_t>(pg_atomic_read_u64(&state->stats_reset));
  const reqtrail::ring::Totals totals = reqtrail::ring::Total();
  reqtrail::Row<reqtrail::kInfoColumns> row;
  reqtrail::PutRing(row, totals.recent, reset);
  row.PutNumber(static_cast<std::int64_t>(totals.recent.merged + totals.notable.merged));
  row.PutMomentOrNull(totals.oldest_retained);
  reqtrail::PutRing(row, totals.notable, reset);
  reqtrail::PutRing(row, state->Errors(), state->ErrorsLock(), reset);
  reqtrail::PutRing(row, state->SlowStatements(), state->SlowStatementsLock(), reset);
  row.PutNumber(static_cast<std::int64_t>(pg_atomic_read_u64(&state->ignored_ids)));
  row.PutNumber(static_cast<std::int64_t>(state->Bytes()));
  row.PutMoment(reset);
  row.Store(result);
  return Datum{0};
}

// pg_stat_requests_reset(): forget everything. The script revokes it from public.
Datum pg_stat_requests_reset_1_0(PG_FUNCTION_ARGS) {
  reqtrail::SharedState* state = reqtrail::RequireSharedState();
  pg_atomic_write_u64(&state->ignored_ids, 0);
  reqtrail::ring::Clear();
  reqtrail::ChangeEvents(state, [](auto& ring) { ring.Clear(); });
  // After it: rows that came in meanwhile and are gone must not be of a time for which complete_since vouches.
  pg_atomic_write_u64(&state->stats_reset, static_cast<std::uint64_t>(GetCurrentTimestamp()));
  PG_RETURN_VOID();
}

// pg_stat_requests_reset(request_id text): forget one request. The script revokes it from public.
Datum pg_stat_requests_reset_one_1_0(PG_FUNCTION_ARGS) {
  reqtrail::SharedState* state = reqtrail::RequireSharedState();
  const text* wanted = PG_GETARG_TEXT_PP(0);
  const std::string_view id(VARDATA_ANY(wanted), VARSIZE_ANY_EXHDR(wanted));
  if (!reqtrail::IsRequestId(id)) PG_RETURN_VOID();
  reqtrail::RequestId request;
  request.Assign(id);
  reqtrail::ring::Erase(request);
  reqtrail::ChangeEvents(state, [id](auto& ring) { ring.Erase(id); });
  PG_RETURN_VOID();
}

}  // extern "C"
