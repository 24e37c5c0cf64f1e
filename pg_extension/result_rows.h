#pragma once

#include <array>

#include "pg_extension/compat.h"
#include "pg_extension/shared_state.h"

/// How the SQL functions make their rows.
namespace reqtrail {

/// The shared memory. Raises an error where the library was not preloaded.
inline SharedState* RequireSharedState() {
  SharedState* state = SharedState::Get();
  if (state == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pg_stat_requests must be loaded via \"shared_preload_libraries\"")));
  }
  return state;
}

/// The result of a set-returning function. Raises an error if the SQL script promised other columns.
inline const ReturnSetInfo* BeginResult(FunctionCallInfo fcinfo, int columns) {
  BeginRows(fcinfo);
  const auto* result = reinterpret_cast<const ReturnSetInfo*>(fcinfo->resultinfo);
  if (result->setDesc->natts != columns) elog(ERROR, "incorrect number of output columns");
  return result;
}

/// Turns oids into names and checks privileges, for a series of rows that mostly are of the same few databases and
/// roles.
class Names {
 public:
  /// Whether the current user may see what `role` did. The same rule as pg_stat_activity.
  bool MaySee(Oid role) {
    if (!all_known_) {
      all_ = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
      all_known_ = true;
    }
    return all_ || has_privs_of_role(GetUserId(), role);
  }
  /// The name as a `name` datum, valid until the next call, and false; or true (NULL) if it was dropped.
  bool Database(Oid oid, Datum* name) { return database_.Get(oid, &get_database_name, name); }
  bool Role(Oid oid, Datum* name) {
    return role_.Get(oid, [](Oid role) { return GetUserNameFromId(role, true); }, name);
  }

 private:
  // The name that was asked for last: by value, since the memory in which rows are made is reset between them.
  class Known {
   public:
    template <typename LookUp>
    bool Get(Oid oid, const LookUp& look_up, Datum* name) {
      if (oid != oid_ || oid == InvalidOid) {
        const char* found = look_up(oid);
        oid_ = oid;
        dropped_ = found == nullptr;
        if (!dropped_) namestrcpy(&name_, found);
      }
      *name = NameGetDatum(&name_);
      return dropped_;
    }

   private:
    Oid oid_ = InvalidOid;
    bool dropped_ = false;
    NameData name_{};
  };

  bool all_known_ = false;
  bool all_ = false;
  Known database_;
  Known role_;
};

/// What PutKey puts: request_id, database, "user", dbid, userid.
inline constexpr int kKeyColumns = 5;

/// The columns of one row, put in their order.
template <int kColumns>
class Row {
 public:
  void Put(Datum value) { values_[at_++] = value; }
  void PutNull() { nulls_[at_++] = true; }
  void PutNumber(std::int64_t number) { Put(Int64GetDatum(number)); }
  void PutMilliseconds(double nanoseconds) { Put(Float8GetDatum(nanoseconds / 1e6)); }
  void PutMoment(std::int64_t moment) { Put(TimestampTzGetDatum(moment)); }
  void PutMomentOrNull(std::int64_t moment) { moment == 0 ? PutNull() : PutMoment(moment); }
  void PutText(std::string_view text) {
    Put(PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))));
  }
  /// A bigint, as in pg_stat_statements; NULL for 0.
  void PutQueryId(std::uint64_t queryid) { queryid == 0 ? PutNull() : PutNumber(static_cast<std::int64_t>(queryid)); }
  /// Text; NULL for 0.
  void PutSqlState(std::int64_t sqlstate) {
    sqlstate == 0 ? PutNull() : PutText(unpack_sql_state(static_cast<int>(sqlstate)));
  }
  void PutKey(const RequestKey& key, Names& names) {
    PutText(key.id.View());
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
      PutMilliseconds(static_cast<double>(value));
    } else if constexpr (kKind == CounterKind::kSqlState) {
      PutSqlState(value);
    } else if constexpr (kKind == CounterKind::kBackends) {
      PutNumber(CountBackends(value));
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

}  // namespace reqtrail
