#include "pg_extension/accumulator.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "pg_extension/compat.h"
#include "pg_extension/resource_usage.h"
#include "pg_extension/ring.h"
#include "pg_extension/settings.h"

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

struct Part {
  bool open = false;
  bool between_transactions = false;  // all there is are errors reported while no transaction was under way
  RequestKey key;
  std::uint64_t hash = 0;  // ring::Hash(key.id)
  std::int64_t since = 0;  // TimestampTz of the statement with which it was opened
  Counters counters;       // but for block and WAL use, which is taken at the flush
  ResourceUsage base;      // where block and WAL use starts
};

// The ids (keys) whose parts were closed before their transaction ended, to be told how it ended.
struct Visited {
  RequestKey key;
  std::uint64_t hash = 0;
};
constexpr int kMaxVisited = 8;

struct State {
  Part part;
  bool id_changed = false;     // since Settle last looked
  bool base_is_valid = false;  // part.base is of the last flush and the id has not changed since
  Phase phase = Phase::kBetween;
  const void* statement = nullptr;  // identity of the statement that started last
  const char* sent_text = nullptr;  // identity of the message that ran the statement that was done last
  std::int64_t step_start = 0;      // nanoseconds: when its step under way started
  std::int64_t statement_time = 0;  // nanoseconds: its finished steps
  Attachment attachment = Attachment::kNotYet;
  Slot* slot = nullptr;  // of this backend, while attached; nullptr: it has none
  int visited_count = 0;
  std::array<Visited, kMaxVisited> visited;
};

State state;

std::int64_t MonotonicNanoseconds() noexcept {
  timespec now{};
  static_cast<void>(clock_gettime(CLOCK_MONOTONIC, &now));  // fails for no clock that exists
  return (static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000) + now.tv_nsec;
}

void Flush() noexcept {
  Part& part = state.part;
  const ResourceUsage now = ResourceUsage::Now();
  now.AddDifference(part.base, part.counters);
  part.base = now;
  part.counters.first_seen = part.since;
  part.counters.last_seen = GetCurrentTimestamp();
  ring::Merge(part.key, part.hash, part.counters);
  part.counters = Counters{};
}

void OnBackendExit(int, Datum) {
  // Transactions have ended (they flush). What may be left are errors between transactions.
  if (state.part.open && state.part.counters.errors > 0) Flush();
  state.part.open = false;
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

void Publish() noexcept {
  if (state.slot == nullptr) return;
  const Part& part = state.part;
  state.slot->Publish(part.key, part.since, part.counters.statements, part.counters.total_time);
}

void PublishProgress() noexcept {
  if (state.slot == nullptr) return;
  state.slot->Progress(state.part.counters.statements, state.part.counters.total_time);
}

// The role outside of SECURITY DEFINER functions: SET ROLE counts, a function's owner does not.
Oid RoleInEffect() noexcept { return GetOuterUserId(); }

void FillKey(RequestKey& key, const RequestId& id) noexcept {
  key.database = MyDatabaseId;
  key.role = RoleInEffect();
  key.id.Assign(id.View());
}

void OpenPart(const RequestId& id) noexcept {
  Part& part = state.part;
  part.open = true;
  part.between_transactions = false;
  state.statement = nullptr;
  FillKey(part.key, id);
  part.hash = ring::Hash(id);
  part.since = GetCurrentStatementStartTimestamp();
  if (!state.base_is_valid) part.base = ResourceUsage::Now();
}

bool IsVisited(const RequestKey& key) noexcept {
  for (int i = 0; i < state.visited_count; ++i) {
    if (state.visited[i].key.Equals(key)) return true;
  }
  return false;
}

// Closes a part before its transaction ends. When too many were, the transaction counts at once, its end unknown.
void ClosePart() noexcept {
  Part& part = state.part;
  if (!part.between_transactions && !IsVisited(part.key)) {
    if (state.visited_count < kMaxVisited) {
      Visited& visited = state.visited[state.visited_count++];
      visited.key.Assign(part.key);
      visited.hash = part.hash;
    } else {
      part.counters.transactions = 1;
    }
  }
  Flush();
  part.open = false;
  state.base_is_valid = true;
  if (state.slot != nullptr) state.slot->Clear();
}

void CountTransaction(const RequestKey& key, std::uint64_t hash, bool rolled_back) noexcept {
  Counters counters;
  counters.first_seen = GetCurrentStatementStartTimestamp();
  counters.last_seen = GetCurrentTimestamp();
  counters.transactions = 1;
  counters.rollbacks = rolled_back ? 1 : 0;
  ring::Merge(key, hash, counters);
}

// The id was set inside the top-level statement that is just ending the transaction (a procedure): it has no part of
// its own.
void CountIdInEffect(const RequestId& id, bool rolled_back) noexcept {
  RequestKey key;
  FillKey(key, id);
  if (key.id.View() == state.part.key.id.View() || IsVisited(key)) return;
  CountTransaction(key, ring::Hash(key.id), rolled_back);
}

bool IsPartOf(const RequestId& id) noexcept {
  return state.part.key.id.View() == id.View() && state.part.key.role == RoleInEffect();
}

void CountTime() noexcept {
  Counters& counters = state.part.counters;
  const std::int64_t step = MonotonicNanoseconds() - state.step_start;
  state.statement_time += step;
  counters.total_time += step;
  counters.max_time = std::max(counters.max_time, state.statement_time);
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
  state.id_changed = true;
  state.base_is_valid = false;
}

void Settle() noexcept {
  if (!state.id_changed || !CanRecord()) return;
  state.id_changed = false;
  const RequestId* id = RequestIdInEffect();
  if (state.part.open) {
    if (id != nullptr && IsPartOf(*id)) return;
    ClosePart();
  }
  if (id == nullptr) return;
  OpenPart(*id);
  Publish();
}

// Functions of their own so that what is untagged need not save registers for them.
[[gnu::noinline]] static bool BeginTaggedStatement(const void* statement, bool first_step) noexcept {
  if (!CanRecord()) return false;
  Settle();
  const RequestId* id = RequestIdInEffect();
  if (id == nullptr) return false;
  if (state.part.open && state.part.key.role != RoleInEffect()) ClosePart();
  const bool opened = !state.part.open;
  if (opened) OpenPart(*id);
  state.part.between_transactions = false;
  if (first_step) ++state.part.counters.statements;
  if (first_step || state.statement != statement) state.statement_time = 0;
  state.statement = statement;
  state.phase = Phase::kStatement;
  if (opened) {
    Publish();
  } else {
    PublishProgress();
  }
  state.step_start = MonotonicNanoseconds();
  return true;
}

bool BeginStatement(const void* statement, bool first_step) noexcept {
  if (RequestIdInEffect() == nullptr && !state.part.open) return false;
  return BeginTaggedStatement(statement, first_step);
}

void EndStatement(bool failed) noexcept {
  CountTime();
  PublishProgress();
  state.phase = failed ? Phase::kFailed : Phase::kDone;
  state.sent_text = debug_query_string;
}

bool ResumeStatement(const void* statement) noexcept {
  if (!state.part.open || state.statement != statement) return false;
  state.phase = Phase::kStatement;
  state.step_start = MonotonicNanoseconds();
  return true;
}

void AddRows(std::uint64_t rows) noexcept { state.part.counters.rows += static_cast<std::int64_t>(rows); }

void ExpectEnd() noexcept {
  // A transaction that already failed has ended as far as XACT events go.
  if (IsTransactionState()) state.phase = Phase::kEnding;
}

void ExpectStatement() noexcept {
  state.phase = Phase::kDone;
  state.sent_text = debug_query_string;
}

void CountError(bool fatal) noexcept {
  const RequestId* id = RequestIdInEffect();
  if ((id == nullptr && !state.part.open) || !CanRecord()) return;
  if (!state.part.open && id != nullptr) {
    OpenPart(*id);
    state.part.between_transactions = !IsTransactionState();
  }
  ++state.part.counters.errors;
  if (IsOfUnstartedStatement() && !fatal) ++state.part.counters.statements;
  if (state.phase == Phase::kFailed || state.phase == Phase::kEnding) state.phase = Phase::kBetween;
}

[[gnu::noinline]] static void EndTaggedTransaction(bool rolled_back) noexcept {
  // A procedure that commits is still a statement of its request, unless the backend is being terminated in it.
  const bool statement_goes_on = state.phase == Phase::kStatement && !proc_exit_inprogress;
  if (state.phase == Phase::kStatement && !statement_goes_on) CountTime();
  if (!statement_goes_on) state.phase = Phase::kBetween;
  if (!CanRecord()) return;
  const RequestId* id = RequestIdInEffect();
  Part& part = state.part;
  if (!part.open && id != nullptr) OpenPart(*id);
  if (part.open) {
    part.counters.transactions = 1;
    part.counters.rollbacks = rolled_back ? 1 : 0;
    Flush();
    state.base_is_valid = !state.id_changed;
  }
  if (part.open && id != nullptr && state.id_changed) CountIdInEffect(*id, rolled_back);
  for (int i = 0; i < state.visited_count; ++i) {
    const Visited& visited = state.visited[i];
    if (part.open && visited.key.Equals(part.key)) continue;
    CountTransaction(visited.key, visited.hash, rolled_back);
  }
  state.visited_count = 0;
  if (statement_goes_on) return;
  part.open = false;
  if (state.slot != nullptr) state.slot->Clear();
}

void EndTransaction(bool rolled_back) noexcept {
  if (RequestIdInEffect() == nullptr && !state.part.open && state.visited_count == 0) {
    state.phase = Phase::kBetween;
  } else {
    EndTaggedTransaction(rolled_back);
  }
}

}  // namespace reqtrail::accumulator
