#include "pg_extension/hooks.h"

#include "pg_extension/accumulator.h"
#include "pg_extension/clock.h"
#include "pg_extension/comment_id.h"
#include "pg_extension/compat.h"
#include "pg_extension/log_lines.h"
#include "pg_extension/set_statement.h"

#if defined(__GNUC__) && !defined(__clang__)
// It means a variable inside the server's PG_TRY, which does not change between sigsetjmp and siglongjmp.
#pragma GCC diagnostic ignored "-Wclobbered"
#endif

namespace reqtrail {
namespace {

planner_hook_type previous_planner = nullptr;
ExecutorRun_hook_type previous_run = nullptr;
ExecutorFinish_hook_type previous_finish = nullptr;
ProcessUtility_hook_type previous_utility = nullptr;
emit_log_hook_type previous_emit_log = nullptr;
shmem_startup_hook_type previous_startup = nullptr;

// How many utility statements are under way, and how many calls of the planner and the executor. A statement is a
// top-level one where there are none of both.
//
// The second count is put right by whoever calls, not by PG_TRY, which would cost as much as all that is done for an
// untagged statement. So it stays too high where an error goes all the way up to the client. That ends the transaction,
// or leaves it to a ROLLBACK TO SAVEPOINT; at both, no planner and no executor can be under way.
int utility_depth = 0;
int query_depth = 0;

bool IsInside() { return (utility_depth | query_depth) != 0; }

// REQUIRES: a transaction has ended, or is controlled by the client.
void ForgetQueries() {
  query_depth = 0;
  comment_id::ForgetPlanned();
}

// Outside of a portal run only queries of deferred triggers (at commit) and of background workers.
bool IsTopLevel() { return !IsInside() && ActivePortal != nullptr; }

// A query at depth 0 need not be the portal's own: while that is only being started, functions already run to prune
// partitions. And at commit a WITH HOLD cursor's rows are stored, by a portal whose statement was its declaration.
bool IsTopLevel(const QueryDesc* query) {
  if (!IsTopLevel()) return false;
  const List* own = ActivePortal->stmts;
  if (own == NIL || (linitial(own) != query->plannedstmt && !list_member_ptr(own, query->plannedstmt))) return false;
  return (ActivePortal->cursorOptions & CURSOR_OPT_HOLD) == 0 || ActivePortal->holdStore == nullptr;
}

// Runs `chain`, a part of the executor, one level deeper.
template <typename Chain>
void RunQuery(const Chain& chain) {
  const int outer = query_depth;
  query_depth = outer + 1;
  chain();
  query_depth = outer;
  if (!IsInside()) accumulator::Settle();
}

// Runs `chain`, one level deeper as `*depth` counts, and ends the statement if it is a recorded one: also when `chain`
// raises an error. `chain` returns the statement's rows, and must have a trivial destructor: an error longjmps over it.
template <typename Chain>
void RunGuarded(int* depth, bool recorded, const Chain& chain) {
  static_assert(std::is_trivially_destructible_v<Chain>);
  const int outer_depth = *depth;
  const int outer_queries = query_depth;
  volatile bool failed = true;
  volatile std::uint64_t rows = 0;
  *depth = outer_depth + 1;
  PG_TRY();
  {
    rows = chain();
    failed = false;
  }
  PG_FINALLY();
  {
    query_depth = outer_queries;
    *depth = outer_depth;
    if (recorded) accumulator::EndStatement(failed, rows);
  }
  PG_END_TRY();
  if (!IsInside()) accumulator::Settle();
}

// Runs `chain`, which returns rows, as a statement inside of another.
template <typename Chain>
void RunNested(const StatementText& text, bool first_step, const Chain& chain) {
  const std::int64_t start = clock::Now();
  const std::uint64_t rows = chain();
  if (accumulator::RecordsNested()) {
    accumulator::AddNested(text, first_step, clock::Since(start, clock::Now()), rows);
  }
}

PlannedStmt* CallPlanner(REQTRAIL_PLANNER_PARAMETERS) {
  return previous_planner != nullptr ? previous_planner(REQTRAIL_PLANNER_ARGUMENTS)
                                     : standard_planner(REQTRAIL_PLANNER_ARGUMENTS);
}

void CallRun(REQTRAIL_EXECUTOR_RUN_PARAMETERS) {
  if (previous_run != nullptr) {
    previous_run(REQTRAIL_EXECUTOR_RUN_ARGUMENTS);
  } else {
    standard_ExecutorRun(REQTRAIL_EXECUTOR_RUN_ARGUMENTS);
  }
}

void CallFinish(QueryDesc* query) {
  if (previous_finish != nullptr) {
    previous_finish(query);
  } else {
    standard_ExecutorFinish(query);
  }
}

// Whether a query's end can run anything: AFTER triggers, or the rest of a data-modifying WITH.
bool MayFireTriggers(const QueryDesc* query) {
  return query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE;
}

bool BeginsTransaction(TransactionStmtKind kind) { return kind == TRANS_STMT_BEGIN || kind == TRANS_STMT_START; }

// What comes with the end of its transaction: an error in it is not a failed statement.
bool EndsTransaction(TransactionStmtKind kind) {
  switch (kind) {
    case TRANS_STMT_COMMIT:
    case TRANS_STMT_ROLLBACK:
    case TRANS_STMT_PREPARE: return true;
    default: return false;
  }
}

// Savepoints and the second phase of two: refused when there is no such thing, which is no failed statement either.
bool ControlsTransaction(TransactionStmtKind kind) { return !BeginsTransaction(kind) && !EndsTransaction(kind); }

// Rows as pg_stat_statements counts them for COPY, FETCH, CREATE TABLE AS, REFRESH; and for an EXECUTE, those of what
// it runs.
std::uint64_t RowsOf(const QueryCompletion* completion) {
  if (completion == nullptr) return 0;
  switch (completion->commandTag) {
    case CMDTAG_COPY:
    case CMDTAG_FETCH:
    case CMDTAG_SELECT:
    case CMDTAG_REFRESH_MATERIALIZED_VIEW:
    case CMDTAG_INSERT:
    case CMDTAG_UPDATE:
    case CMDTAG_DELETE:
    case CMDTAG_MERGE: return completion->nprocessed;
    default: return 0;
  }
}

void CallUtility(PlannedStmt* planned, const char* text, bool read_only, ProcessUtilityContext context,
                 ParamListInfo parameters, QueryEnvironment* environment, DestReceiver* destination,
                 QueryCompletion* completion) {
  const auto call = previous_utility != nullptr ? previous_utility : standard_ProcessUtility;
  call(planned, text, read_only, context, parameters, environment, destination, completion);
}

// A function of its own so that the hook need not save its arguments for BEGIN, COMMIT and SET.
[[gnu::noinline]] void RunUtility(PlannedStmt* planned, const char* text, bool read_only, ProcessUtilityContext context,
                                  ParamListInfo parameters, QueryEnvironment* environment, DestReceiver* destination,
                                  QueryCompletion* completion) {
  const StatementText statement(planned, text);  // `planned` may be freed meanwhile
  const auto run = [&] {
    CallUtility(planned, text, read_only, context, parameters, environment, destination, completion);
    return RowsOf(completion);
  };
  if (IsInside() && accumulator::RecordsNested()) {
    RunGuarded(&utility_depth, false, [&] {
      RunNested(statement, true, run);
      return std::uint64_t{0};
    });
    return;
  }
  bool recorded = false;
  if (IsTopLevel()) {
    comment_id::Look(text, planned);
    recorded = accumulator::MayRecord() && accumulator::BeginStatement(planned, true, statement);
  }
  RunGuarded(&utility_depth, recorded, run);
}

// As RunUtility, for what ControlsTransaction.
[[gnu::noinline]] void RunControl(PlannedStmt* planned, const char* text, bool read_only, ProcessUtilityContext context,
                                  ParamListInfo parameters, QueryEnvironment* environment, DestReceiver* destination,
                                  QueryCompletion* completion) {
  accumulator::ExpectEnd();
  CallUtility(planned, text, read_only, context, parameters, environment, destination, completion);
  accumulator::ExpectStatement();
}

// The planner hook but for its short cut.
[[gnu::noinline]] PlannedStmt* Plan(REQTRAIL_PLANNER_PARAMETERS) {
  bool timed = false;
  // At commit, deferred triggers have their own texts planned.
  if (!IsInside() && text != nullptr && text == debug_query_string) {
    comment_id::LookAhead(text, query->stmt_location, query->stmt_len);
    timed = accumulator::MayRecord() && accumulator::BeginPlanning();
  }
  const int outer = query_depth;
  query_depth = outer + 1;
  PlannedStmt* planned = CallPlanner(REQTRAIL_PLANNER_ARGUMENTS);
  query_depth = outer;
  if (timed) accumulator::EndPlanning();
  return planned;
}

// The run hook but for its short cut.
[[gnu::noinline]] void Run(REQTRAIL_EXECUTOR_RUN_PARAMETERS) {
  const auto run = [&] {
    CallRun(REQTRAIL_EXECUTOR_RUN_ARGUMENTS);
    return query->estate->es_processed;
  };
  const bool first_step = !query->already_executed;
  if (IsTopLevel(query)) {
    comment_id::LookAtPlanned(query->sourceText, query->plannedstmt);
    if (accumulator::MayRecord() &&
        accumulator::BeginStatement(query, first_step, StatementText(query->plannedstmt, query->sourceText))) {
      RunGuarded(&query_depth, true, run);
      return;
    }
  } else if (accumulator::RecordsNested()) {
    RunQuery([&] { RunNested(StatementText(query->plannedstmt, query->sourceText), first_step, run); });
    return;
  }
  RunQuery(run);
}

void EndTransaction(bool rolled_back) {
  log_lines::TransactionEnds();
  accumulator::EndTransaction(rolled_back);
  ForgetQueries();
  // A procedure that commits still belongs to the id of the comment on its CALL.
  if (utility_depth == 0) comment_id::TransactionEnded();
}

}  // namespace

extern "C" {

static PlannedStmt* ReqtrailPlanner(REQTRAIL_PLANNER_PARAMETERS) {
  if (IsInside() || text == nullptr || accumulator::MayRecord() ||
      !comment_id::PlainlyHasNothing(text, query->stmt_location, query->stmt_len)) {
    return Plan(REQTRAIL_PLANNER_ARGUMENTS);
  }
  comment_id::NotePlannedWithNothing(text);
  query_depth = 1;
  PlannedStmt* planned = CallPlanner(REQTRAIL_PLANNER_ARGUMENTS);
  query_depth = 0;
  return planned;
}

static void ReqtrailExecutorRun(REQTRAIL_EXECUTOR_RUN_PARAMETERS) {
  // Short cut for what is untagged, as in the planner: where nothing can be recorded, it need not be told what this is.
  if (IsInside() || accumulator::MayRecord() || !comment_id::HasNothingPlanned(query->sourceText, query->plannedstmt)) {
    Run(REQTRAIL_EXECUTOR_RUN_ARGUMENTS);
    return;
  }
  comment_id::ForgetPlanned();
  query_depth = 1;
  CallRun(REQTRAIL_EXECUTOR_RUN_ARGUMENTS);
  query_depth = 0;
  accumulator::Settle();
}

static void ReqtrailExecutorFinish(QueryDesc* query) {
  if (!MayFireTriggers(query)) {
    CallFinish(query);
  } else if (IsTopLevel() && accumulator::ResumeStatement(query)) {
    RunGuarded(&query_depth, true, [&] {
      CallFinish(query);
      return std::uint64_t{0};
    });
  } else {
    RunQuery([&] { CallFinish(query); });
  }
}

static void ReqtrailProcessUtility(PlannedStmt* planned, const char* text, bool read_only,
                                   ProcessUtilityContext context, ParamListInfo parameters,
                                   QueryEnvironment* environment, DestReceiver* destination,
                                   QueryCompletion* completion) {
  const Node* statement = planned->utilityStmt;
  if (IsA(statement, TransactionStmt)) {
    // Nothing runs inside it. It may free `planned`.
    const TransactionStmtKind kind = reinterpret_cast<const TransactionStmt*>(statement)->kind;
    if (utility_depth == 0) {
      ForgetQueries();
      if (ControlsTransaction(kind)) {
        RunControl(planned, text, read_only, context, parameters, environment, destination, completion);
        return;
      }
      if (EndsTransaction(kind)) {
        accumulator::ExpectEnd();
      } else {
        comment_id::Look(text, planned);
        accumulator::BeginTransaction();
      }
    }
    CallUtility(planned, text, read_only, context, parameters, environment, destination, completion);
    return;
  }
  if (!IsInside() && set_statement::SetsRequestId(statement)) {
    // Past the other libraries' hooks: to pg_stat_statements before 18, each id would be a statement of its own.
    if (!set_statement::Execute(statement, context == PROCESS_UTILITY_TOPLEVEL)) {
      standard_ProcessUtility(planned, text, read_only, context, parameters, environment, destination, completion);
    }
    accumulator::Settle();
    return;
  }
  RunUtility(planned, text, read_only, context, parameters, environment, destination, completion);
}

// Runs while an error is reported, maybe in the middle of anything: it must not report anything itself.
static void ReqtrailEmitLog(ErrorData* error) {
  static bool counting = false;
  if (error->elevel >= ERROR && !counting) {
    counting = true;
    if (!IsInside() && IsTransactionState() && debug_query_string != nullptr) {
      comment_id::LookAtFailed(debug_query_string);
    }
    accumulator::CountError(error->sqlerrcode, error->message, error->elevel > ERROR);
    counting = false;
  }
  log_lines::AddRequestId(error);
  if (previous_emit_log != nullptr) previous_emit_log(error);
}

static void ReqtrailTransactionEvent(XactEvent event, void*) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE: accumulator::BeginCommit(); break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PREPARE: EndTransaction(false); break;
    case XACT_EVENT_ABORT: EndTransaction(true); break;
    default: break;  // the other events come before the end, or are a parallel worker's
  }
}

// All preloaded libraries have set their hooks by now: this one becomes the outermost. A crash restart comes here
// again.
static void ReqtrailStartup() {
  if (previous_startup != nullptr) previous_startup();
  static bool installed = false;
  if (installed) return;
  installed = true;
  previous_utility = ProcessUtility_hook;
  ProcessUtility_hook = &ReqtrailProcessUtility;
}

}  // extern "C"

void InstallHooks() {
  previous_planner = planner_hook;
  planner_hook = &ReqtrailPlanner;
  previous_run = ExecutorRun_hook;
  ExecutorRun_hook = &ReqtrailExecutorRun;
  previous_finish = ExecutorFinish_hook;
  ExecutorFinish_hook = &ReqtrailExecutorFinish;
  previous_startup = shmem_startup_hook;
  shmem_startup_hook = &ReqtrailStartup;
  previous_emit_log = emit_log_hook;
  emit_log_hook = &ReqtrailEmitLog;
}

void InstallTransactionCallback() { RegisterXactCallback(&ReqtrailTransactionEvent, nullptr); }

}  // namespace reqtrail
