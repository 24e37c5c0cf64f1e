#include "pg_extension/accumulator.h"

#include <algorithm>
#include <utility>

#include "pg_extension/clock.h"
#include "pg_extension/compat.h"
#include "pg_extension/part.h"
#include "pg_extension/pending_events.h"
#include "pg_extension/ring.h"
#include "pg_extension/settings.h"
#include "pg_extension/visited_keys.h"

namespace reqtrail::accumulator {
namespace {

// Where this backend is, as far as it decides whether an error is one of a statement that is already counted.
enum class Phase : unsigned char {
  kBetween,    // no statement is known of: an error is that of one which could not start
  kStatement,  // one is running
  kFailed,     // one failed, its error is not yet reported
  kDone,       // one was done: the next follows, or the commit if there is no transaction block
  kEnding,     // transaction control: an error is no statement's
};

// Whether this process may write to shared memory.
enum class Attachment : unsigned char { kNotYet, kAttached, kGone };

// The statement that started last.
struct Statement {
  const void* identity = nullptr;
  StatementText text;
  std::uint64_t queryid = 0;
  std::uint32_t calls = 0;      // 1 until it is counted as one
  std::int64_t step_start = 0;  // when its step under way started
  std::int64_t time = 0;        // nanoseconds in its finished steps
};

struct State {
  Part part;
  bool base_is_valid = false;  // part.base is of the last flush and the id has not changed since
  bool planning = false;       // a query of the client
  Phase phase = Phase::kBetween;
  Statement statement;
  const char* sent_text = nullptr;   // identity of the message that ran the statement that was done last
  std::int64_t plan_start = 0;       // REQUIRES planning
  std::int64_t commit_start = 0;     // of a commit inside of a statement; 0: none
  std::int64_t begun_with_id = 0;    // when BEGIN came, if the id was in effect already and still is; 0: it did not
  std::int64_t accounted_until = 0;  // until when the part knows what the transaction's time went into
  Attachment attachment = Attachment::kNotYet;
  Slot* slot = nullptr;  // of this backend, while attached; nullptr: it has none
  VisitedKeys visited;
};

State state;

void OnBackendExit(int, Datum) {
  // Transactions have ended (they flush). What may be left are errors between transactions.
  if (detail::part_is_open && state.part.work.counters.errors > 0) state.part.Flush(clock::Now());
  detail::part_is_open = false;
  pending_events::Publish();
  if (state.slot != nullptr) state.slot->Clear();
  state.attachment = Attachment::kGone;
}

// Nothing is recorded by what is not a backend in a database, nor while a backend still starts, nor in parallel workers
// (their work comes to their leader).
bool Attach() noexcept {
  if (state.attachment == Attachment::kGone || !IsNormalProcessingMode() || MyProc == nullptr ||
      MyDatabaseId == InvalidOid || IsParallelWorker() || SharedState::Get() == nullptr) {
    return false;
  }
  state.attachment = Attachment::kAttached;
  state.slot = SharedState::Get()->SlotAt(static_cast<std::uint32_t>(ProcessNumber()));
  on_shmem_exit(&OnBackendExit, 0);
  return true;
}

bool CanRecord() noexcept { return state.attachment == Attachment::kAttached || Attach(); }

Progress ProgressOf(const Counters& counters) noexcept {
  return {.statements = counters.statements,
          .total_time = counters.total_time,
          .idle_time = counters.idle_in_transaction_time,
          .statement_start = state.phase == Phase::kStatement ? state.statement.step_start : 0};
}

void Publish() noexcept {
  if (state.slot == nullptr) return;
  state.slot->Publish(state.part.key, state.part.since, ProgressOf(state.part.work.counters));
}

void PublishProgress() noexcept {
  if (state.slot != nullptr) state.slot->Update(ProgressOf(state.part.work.counters));
}

// The part's first transaction, or the next one, starts: its time starts with it.
void StartTime() noexcept {
  state.part.between_transactions = false;
  state.accounted_until = state.begun_with_id != 0 ? state.begun_with_id : clock::MessageArrival();
  state.begun_with_id = 0;
}

void OpenPart(const RequestId& id) noexcept {
  Part& part = state.part;
  detail::part_is_open = true;
  state.statement.identity = nullptr;
  FillKey(part.key, id);
  part.hash = ring::Hash(id);
  part.since = GetCurrentStatementStartTimestamp();
  StartTime();
  if (!state.base_is_valid) part.base = ResourceUsage::Now();
}

// The transaction waited for the client's next message, if that came after what is accounted for. REQUIRES: no
// statement is under way.
void CountIdleTime() noexcept {
  const std::int64_t arrival = clock::MessageArrival();
  if (arrival <= state.accounted_until) return;
  state.part.work.counters.idle_in_transaction_time += arrival - state.accounted_until;
  state.accounted_until = arrival;
}

// Closes a part before its transaction ends. When too many were, the transaction counts at once, its end unknown.
void ClosePart() noexcept {
  Part& part = state.part;
  if (!part.between_transactions) {
    CountIdleTime();
    if (!state.visited.Has(part.key) && !state.visited.Add(part.key, part.hash)) part.work.counters.transactions = 1;
  }
  part.Flush(clock::Now());
  detail::part_is_open = false;
  state.base_is_valid = true;
  if (state.slot != nullptr) state.slot->Clear();
}

// The id was set inside the top-level statement that is just ending the transaction (a procedure): it has no part of
// its own.
void CountIdInEffect(const RequestId& id, std::int64_t now, bool rolled_back) noexcept {
  RequestKey key;
  FillKey(key, id);
  if (key.id.View() == state.part.key.id.View() || state.visited.Has(key)) return;
  CountTransaction(key, ring::Hash(key.id), now, rolled_back);
}

std::uint32_t ClampRows(std::uint64_t rows) noexcept {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(rows, UINT32_MAX));
}

void CountStep(std::uint64_t rows) noexcept {
  Statement& statement = state.statement;
  Counters& counters = state.part.work.counters;
  const std::int64_t now = clock::Now();
  const std::int64_t step = clock::Since(statement.step_start, now);
  state.accounted_until = now;
  statement.time += step;
  counters.total_time += step;
  counters.max_time = std::max(counters.max_time, statement.time);
  counters.rows += static_cast<std::int64_t>(rows);
  counters.statements_dropped += state.part.work.statements.Add({.queryid = statement.queryid,
                                                                 .total_time = step,
                                                                 .calls = statement.calls,
                                                                 .rows = ClampRows(rows),
                                                                 .max_time = static_cast<float>(statement.time)});
  statement.calls = 0;
  if (statement.time >= SlowStatementThreshold()) {
    pending_events::NoteSlowStatement(state.part.key, statement.queryid, statement.time, statement.text);
  }
}

// Whether an error now is of a statement that failed before it could start: syntax, planning, permissions. After one
// that is done, the next comes in the same block (an implicit one is none any more when it commits), or in another
// message of the same pipeline; the commit of what is no block comes in the same message, or with none.
bool IsOfUnstartedStatement() noexcept {
  if (state.phase != Phase::kDone) return state.phase == Phase::kBetween;
  return debug_query_string != nullptr && (IsTransactionBlock() || debug_query_string != state.sent_text);
}

}  // namespace

void RequestIdChanged() noexcept {
  detail::id_changed = true;
  state.begun_with_id = 0;
  state.base_is_valid = false;
}

void detail::SettleChange() noexcept {
  if (!CanRecord()) return;
  detail::id_changed = false;
  const RequestId* id = RecordedRequestId();
  if (detail::part_is_open) {
    if (id != nullptr && state.part.IsOf(*id)) return;
    ClosePart();
  }
  if (id == nullptr) return;
  OpenPart(*id);
  Publish();
}

void BeginTransaction() noexcept {
  Settle();
  const bool part_goes_on = detail::part_is_open && !state.part.between_transactions;
  if (RecordedRequestId() != nullptr && !part_goes_on) state.begun_with_id = clock::MessageArrival();
}

// Makes the open part the one of the id and role now in effect, or opens it; `opened` tells which. Returns false if
// work is recorded for none.
static bool EnsurePart(bool* opened) noexcept {
  if (!CanRecord()) return false;
  Settle();
  const RequestId* id = RecordedRequestId();
  if (id == nullptr) return false;
  if (detail::part_is_open && state.part.key.role != RoleInEffect()) ClosePart();
  *opened = !detail::part_is_open;
  if (*opened) OpenPart(*id);
  if (state.part.between_transactions) StartTime();
  CountIdleTime();
  return true;
}

bool BeginStatement(const void* statement, bool first_step, const StatementText& text) noexcept {
  bool opened = false;
  if (!EnsurePart(&opened)) return false;
  Statement& current = state.statement;
  if (first_step) ++state.part.work.counters.statements;
  if (first_step || current.identity != statement) {
    pending_events::Publish();  // not the note of a slow statement that goes on: it takes its own place
    current.time = 0;
    current.calls = first_step ? 1 : 0;
    current.queryid = text.Identity();
  }
  current.identity = statement;
  current.text = text;
  current.step_start = clock::Now();
  state.phase = Phase::kStatement;
  state.planning = false;
  if (opened) {
    Publish();
  } else {
    PublishProgress();
  }
  return true;
}

void EndStatement(bool failed, std::uint64_t rows) noexcept {
  CountStep(rows);
  state.phase = failed ? Phase::kFailed : Phase::kDone;
  state.sent_text = debug_query_string;
  PublishProgress();
}

bool ResumeStatement(const void* statement) noexcept {
  if (!detail::part_is_open || state.statement.identity != statement) return false;
  state.phase = Phase::kStatement;
  state.statement.step_start = clock::Now();
  return true;
}

bool RecordsNested() noexcept { return TracksNested() && detail::part_is_open && state.phase == Phase::kStatement; }

void AddNested(const StatementText& text, bool first_step, std::int64_t nanoseconds, std::uint64_t rows) noexcept {
  Work& work = state.part.work;
  work.counters.statements_dropped += work.statements.Add({.queryid = text.Identity(),
                                                           .total_time = nanoseconds,
                                                           .calls = first_step ? 1U : 0U,
                                                           .rows = ClampRows(rows),
                                                           .max_time = static_cast<float>(nanoseconds)});
}

bool BeginPlanning() noexcept {
  bool opened = false;
  if (state.planning || !EnsurePart(&opened)) return false;
  if (opened) Publish();
  state.planning = true;
  state.plan_start = clock::Now();
  return true;
}

void EndPlanning() noexcept {
  const std::int64_t now = clock::Now();
  state.part.work.counters.plan_time += clock::Since(state.plan_start, now);
  state.accounted_until = now;
  state.planning = false;
}

void ExpectEnd() noexcept {
  state.planning = false;
  // A transaction that already failed has ended as far as XACT events go.
  if (IsTransactionState()) state.phase = Phase::kEnding;
}

void ExpectStatement() noexcept {
  state.phase = Phase::kDone;
  state.sent_text = debug_query_string;
}

void CountError(int sqlstate, const char* message, bool fatal) noexcept {
  const RequestId* id = RecordedRequestId();
  if ((id == nullptr && !detail::part_is_open) || !CanRecord()) return;
  if (!detail::part_is_open && id != nullptr) {
    OpenPart(*id);
    state.part.between_transactions = !IsTransactionState();
  }
  if (state.planning) EndPlanning();
  Counters& counters = state.part.work.counters;
  ++counters.errors;
  counters.last_sqlstate = sqlstate;
  const bool of_statement = state.phase == Phase::kStatement || state.phase == Phase::kFailed;
  pending_events::NoteError(state.part.key, of_statement ? state.statement.queryid : 0, sqlstate, message);
  if (IsOfUnstartedStatement() && !fatal) ++counters.statements;
  if (state.phase == Phase::kFailed || state.phase == Phase::kEnding) state.phase = Phase::kBetween;
}

void BeginCommit() noexcept {
  const bool inside_statement =
      detail::part_is_open ? state.phase == Phase::kStatement : RecordedRequestId() != nullptr;
  if (inside_statement) state.commit_start = clock::Now();
}

// What the transaction's last time went into: waiting for the message that ended it, and the commit. A procedure's
// commit is in the time of its statement as well.
static void CountEnd(std::int64_t commit_start, std::int64_t now, bool rolled_back, bool statement_goes_on) noexcept {
  Counters& counters = state.part.work.counters;
  if (!statement_goes_on) {
    CountIdleTime();
    // A session that ends without a message under way ended while it waited for its client.
    if (proc_exit_inprogress && debug_query_string == nullptr) {
      counters.idle_in_transaction_time += clock::Since(state.accounted_until, now);
    }
    commit_start = state.accounted_until;
  }
  if (!rolled_back && commit_start != 0) counters.commit_time += clock::Since(commit_start, now);
  counters.transactions = 1;
  counters.rollbacks = rolled_back ? 1 : 0;
}

// A function of its own so that what is untagged need not save registers for it.
[[gnu::noinline]] static void EndTaggedTransaction(bool rolled_back) noexcept {
  // A procedure that commits is still a statement of its request, unless the backend is being terminated in it.
  const bool statement_goes_on = state.phase == Phase::kStatement && !proc_exit_inprogress;
  // Whoever counts it or not: it is the start of no later commit.
  const std::int64_t commit_start = std::exchange(state.commit_start, 0);
  if (state.phase == Phase::kStatement && !statement_goes_on) CountStep(0);
  if (!statement_goes_on) state.phase = Phase::kBetween;
  state.planning = false;
  if (!CanRecord()) return;
  pending_events::Publish();
  const RequestId* id = RecordedRequestId();
  Part& part = state.part;
  const bool begun_with_id = state.begun_with_id != 0;
  // Without a statement of the client, the server works for itself: it takes notifications, and what others changed. (A
  // function call of the protocol outside of BEGIN looks the same.)
  if (!detail::part_is_open && id != nullptr && (begun_with_id || debug_query_string != nullptr)) {
    OpenPart(*id);
    // A procedure set the id and ended the transaction: its statement had none when it started.
    if (!begun_with_id && commit_start != 0) state.accounted_until = commit_start;
  }
  const std::int64_t now = clock::Now();
  if (detail::part_is_open) {
    if (part.between_transactions) StartTime();
    CountEnd(commit_start, now, rolled_back, statement_goes_on);
    part.Flush(now);
    state.base_is_valid = !detail::id_changed;
  }
  if (detail::part_is_open && id != nullptr && detail::id_changed) CountIdInEffect(*id, now, rolled_back);
  for (const VisitedKeys::Visited& visited : state.visited) {
    if (detail::part_is_open && visited.key.Equals(part.key)) continue;
    CountTransaction(visited.key, visited.hash, now, rolled_back);
  }
  state.visited.Clear();
  if (statement_goes_on) return;
  detail::part_is_open = false;
  if (state.slot != nullptr) state.slot->Clear();
}

void EndTransaction(bool rolled_back) noexcept {
  if (RecordedRequestId() == nullptr && !detail::part_is_open && state.visited.IsEmpty()) {
    state.phase = Phase::kBetween;
  } else {
    EndTaggedTransaction(rolled_back);
  }
}

}  // namespace reqtrail::accumulator
