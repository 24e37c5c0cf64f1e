#include <array>

#include "pg_extension/compat.h"
#include "pg_extension/ring.h"

/// The SQL functions. Each carries the version of the SQL script that it belongs to: a changed result gets a new
/// function, and this one stays for those who have not run ALTER EXTENSION UPDATE.
namespace reqtrail {
namespace {

SharedState* RequireSharedState() {
  SharedState* state = SharedState::Get();
  if (state == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pg_stat_requests must be loaded via \"shared_preload_libraries\"")));
  }
  return state;
}

// Turns oids into names and checks privileges, for a series of rows that mostly are of the same few databases and
// roles.
class Names {
 public:
  // Whether the current user may see what `role` did. The same rule as pg_stat_activity.
  bool MaySee(Oid role) {
    if (!all_known_) {
      all_ = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
      all_known_ = true;
    }
    return all_ || has_privs_of_role(GetUserId(), role);
  }
  // The name as a `name` datum, and false; or true (NULL) if it was dropped.
  bool Database(Oid oid, Datum* name) {
    if (oid != database_ || database_ == InvalidOid) {
      database_ = oid;
      database_name_ = get_database_name(oid);
    }
    return ToDatum(database_name_, name);
  }
  bool Role(Oid oid, Datum* name) {
    if (oid != role_ || role_ == InvalidOid) {
      role_ = oid;
      role_name_ = GetUserNameFromId(oid, true);
    }
    return ToDatum(role_name_, name);
  }

 private:
  static bool ToDatum(const char* text, Datum* name) {
    if (text == nullptr) return true;
    *name = DirectFunctionCall1(namein, CStringGetDatum(text));
    return false;
  }

  bool all_known_ = false;
  bool all_ = false;
  Oid database_ = InvalidOid;
  const char* database_name_ = nullptr;
  Oid role_ = InvalidOid;
  const char* role_name_ = nullptr;
};

// The columns of one row, put in their order.
template <int kColumns>
class Row {
 public:
  void Put(Datum value) { values_[at_++] = value; }
  void PutNull() { nulls_[at_++] = true; }
  void PutNumber(std::int64_t number) { Put(Int64GetDatum(number)); }
  void PutMilliseconds(std::int64_t nanoseconds) { Put(Float8GetDatum(static_cast<double>(nanoseconds) / 1e6)); }
  void PutMoment(std::int64_t moment) { Put(TimestampTzGetDatum(moment)); }
  void PutMomentOrNull(std::int64_t moment) { moment == 0 ? PutNull() : PutMoment(moment); }
  void PutKey(const RequestKey& key, Names& names) {
    Put(PointerGetDatum(cstring_to_text_with_len(key.id.bytes, key.id.size)));
    Datum name = 0;
    names.Database(key.database, &name) ? PutNull() : Put(name);
    names.Role(key.role, &name) ? PutNull() : Put(name);
    Put(ObjectIdGetDatum(key.database));
    Put(ObjectIdGetDatum(key.role));
  }
  template <CounterKind kKind>
  void PutCounter(std::int64_t value) {
    if constexpr (kKind == CounterKind::kEarliest || kKind == CounterKind::kLatest) {
      PutMoment(value);
    } else if constexpr (kKind == CounterKind::kSumTime || kKind == CounterKind::kMaxTime) {
      PutMilliseconds(value);
    } else {
      PutNumber(value);
    }
  }
  void Store(const ReturnSetInfo* result) {
    Assert(at_ == kColumns && result->setDesc->natts == kColumns);
    tuplestore_putvalues(result->setResult, result->setDesc, values_.data(), nulls_.data());
  }

 private:
  std::array<Datum, kColumns> values_{};
  std::array<bool, kColumns> nulls_{};
  int at_ = 0;
};

constexpr int kKeyColumns = 5;
constexpr int kActivityColumns = kKeyColumns + 5;
constexpr int kInfoColumns = 9;

const ReturnSetInfo* BeginResult(FunctionCallInfo fcinfo, int columns) {
  BeginRows(fcinfo);
  const auto* result = reinterpret_cast<const ReturnSetInfo*>(fcinfo->resultinfo);
  if (result->setDesc->natts != columns) elog(ERROR, "incorrect number of output columns");
  return result;
}

void StoreRecords(const ring::Records& records, Names& names, const ReturnSetInfo* result) {
  for (std::size_t i = 0; i < records.count; ++i) {
    const Record& record = records.data[i];
    if (!names.MaySee(record.key.role)) continue;
    Row<kKeyColumns + kCounterCount> row;
    row.PutKey(record.key, names);
#define REQTRAIL_PUT(kind, name) row.PutCounter<CounterKind::kind>(record.counters.name);
    REQTRAIL_COUNTERS(REQTRAIL_PUT)
#undef REQTRAIL_PUT
    row.Store(result);
  }
}

}  // namespace
}  // namespace reqtrail

extern "C" {

using reqtrail::Names;

PGDLLEXPORT Datum pg_stat_requests_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_all_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_activity_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_info_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_reset_1_0(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(pg_stat_requests_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_all_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_activity_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_info_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_reset_1_0);

// pg_stat_requests(request_id text): the rows of one request.
Datum pg_stat_requests_1_0(PG_FUNCTION_ARGS) {
  reqtrail::RequireSharedState();
  const ReturnSetInfo* result = reqtrail::BeginResult(fcinfo, reqtrail::kKeyColumns + reqtrail::kCounterCount);
  const text* wanted = PG_GETARG_TEXT_PP(0);
  const std::string_view id(VARDATA_ANY(wanted), VARSIZE_ANY_EXHDR(wanted));
  if (!reqtrail::IsRequestId(id)) return Datum{0};
  reqtrail::RequestId request;
  request.Assign(id);
  Names names;
  reqtrail::StoreRecords(reqtrail::ring::CopyOf(request), names, result);
  return Datum{0};
}

// What the view pg_stat_requests reads: all rows.
Datum pg_stat_requests_all_1_0(PG_FUNCTION_ARGS) {
  const reqtrail::SharedState* state = reqtrail::RequireSharedState();
  const ReturnSetInfo* result = reqtrail::BeginResult(fcinfo, reqtrail::kKeyColumns + reqtrail::kCounterCount);
  Names names;
  for (std::uint32_t i = 0; i < state->ShardCount(); ++i) {
    const reqtrail::ring::Records records = reqtrail::ring::CopyShard(i);
    reqtrail::StoreRecords(records, names, result);
    records.Free();
    CHECK_FOR_INTERRUPTS();
  }
  return Datum{0};
}

// What the view pg_stat_requests_activity reads: one row per backend that works for a request now.
Datum pg_stat_requests_activity_1_0(PG_FUNCTION_ARGS) {
  reqtrail::SharedState* state = reqtrail::RequireSharedState();
  const ReturnSetInfo* result = reqtrail::BeginResult(fcinfo, reqtrail::kActivityColumns);
  Names names;
  reqtrail::Activity activity;
  for (std::uint32_t i = 0; i < state->SlotCount(); ++i) {
    if (!state->SlotAt(i)->Read(&activity) || !names.MaySee(activity.key.role)) continue;
    reqtrail::Row<reqtrail::kActivityColumns> row;
    row.Put(Int32GetDatum(activity.pid));
    row.PutKey(activity.key, names);
    row.PutMoment(activity.xact_start);
    row.PutMoment(activity.since);
    row.PutNumber(activity.statements);
    row.PutMilliseconds(activity.total_time);
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
  row.PutNumber(totals.sum.capacity);
  row.PutNumber(totals.sum.used);
  row.PutNumber(static_cast<std::int64_t>(totals.sum.merged));
  row.PutNumber(static_cast<std::int64_t>(totals.sum.overwritten));
  row.PutMomentOrNull(totals.oldest_retained);
  row.PutMoment(Max(reset, totals.sum.overwritten_until));
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
  // After it: rows that came in meanwhile and are gone must not be of a time for which complete_since vouches.
  pg_atomic_write_u64(&state->stats_reset, static_cast<std::uint64_t>(GetCurrentTimestamp()));
  PG_RETURN_VOID();
}

}  // extern "C"
