#include "pg_extension/result_rows.h"

/// The SQL functions about the last errors and slow statements.
namespace reqtrail {
namespace {

constexpr int kErrorColumns = 2 + kKeyColumns + 3;
constexpr int kSlowColumns = 2 + kKeyColumns + 3;

// All events as they were at one moment, palloc'd.
template <typename Event>
struct Events {
  Event* data;
  std::size_t count;
};

template <typename Event>
Events<Event> Copy(const EventRing<Event>& ring, LWLock* lock) {
  // The capacity is constant, so that the memory can be taken before the lock.
  auto* data = static_cast<Event*>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Event) * ring.capacity()));
  Events<Event> events{.data = data, .count = 0};
  LWLockAcquire(lock, LW_SHARED);
  ring.ForEach([&events](const Event& event) { events.data[events.count++] = event; });
  LWLockRelease(lock);
  return events;
}

// A text in the encoding of the database that looks. Of another encoding, what is not ASCII becomes "?": a conversion
// could fail, and with it the whole view.
template <std::size_t kBytes>
std::string_view Readable(EventText<kBytes>& text) {
  if (text.encoding != GetDatabaseEncoding()) {
    for (std::uint32_t i = 0; i < text.size; ++i) {
      if (IS_HIGHBIT_SET(text.bytes[i])) text.bytes[i] = '?';
    }
  }
  return text.View();
}

template <int kColumns>
void PutHead(Row<kColumns>& row, const EventHead& head, Names& names) {
  row.PutMoment(head.time);
  row.PutKey(head.key, names);
  row.Put(Int32GetDatum(head.pid));
}

}  // namespace
}  // namespace reqtrail

extern "C" {

PGDLLEXPORT Datum pg_stat_requests_errors_1_0(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pg_stat_requests_slow_1_0(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(pg_stat_requests_errors_1_0);
PG_FUNCTION_INFO_V1(pg_stat_requests_slow_1_0);

// What the view pg_stat_requests_errors reads.
Datum pg_stat_requests_errors_1_0(PG_FUNCTION_ARGS) {
  reqtrail::SharedState* state = reqtrail::RequireSharedState();
  const ReturnSetInfo* result = reqtrail::BeginResult(fcinfo, reqtrail::kErrorColumns);
  const auto events = reqtrail::Copy(state->Errors(), state->ErrorsLock());
  reqtrail::Names names;
  for (std::size_t i = 0; i < events.count; ++i) {
    reqtrail::ErrorEvent& event = events.data[i];
    if (!names.MaySee(event.head.key.role)) continue;
    reqtrail::Row<reqtrail::kErrorColumns> row;
    reqtrail::PutHead(row, event.head, names);
    row.PutSqlState(event.sqlstate);
    row.PutText(reqtrail::Readable(event.message));
    row.PutQueryId(event.head.queryid);
    row.Store(result);
  }
  return Datum{0};
}

// What the view pg_stat_requests_slow reads.
Datum pg_stat_requests_slow_1_0(PG_FUNCTION_ARGS) {
  reqtrail::SharedState* state = reqtrail::RequireSharedState();
  const ReturnSetInfo* result = reqtrail::BeginResult(fcinfo, reqtrail::kSlowColumns);
  const auto events = reqtrail::Copy(state->SlowStatements(), state->SlowStatementsLock());
  reqtrail::Names names;
  for (std::size_t i = 0; i < events.count; ++i) {
    reqtrail::SlowEvent& event = events.data[i];
    if (!names.MaySee(event.head.key.role)) continue;
    reqtrail::Row<reqtrail::kSlowColumns> row;
    reqtrail::PutHead(row, event.head, names);
    row.PutMilliseconds(static_cast<double>(event.duration));
    row.PutQueryId(event.head.queryid);
    row.PutText(reqtrail::Readable(event.text));
    row.Store(result);
  }
  return Datum{0};
}

}  // extern "C"
