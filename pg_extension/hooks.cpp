#include "pg_extension/hooks.h"

#include "pg_extension/accumulator.h"
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

ExecutorRun_hook_type previous_run = nullptr;
ExecutorFinish_hook_type previous_finish = nullptr;
ProcessUtility_hook_type previous_utility = nullptr;
emit_log_hook_type previous_emit_log = nullptr;
shmem_startup_hook_type previous_startup = nullptr;

// How many executor or utility calls are under way. A statement is a top-level one at depth 0.
int depth = 0;

// Outside of a portal, at depth 0, run only queries of deferred triggers (at commit) and of background workers.
bool IsTopLevel() { return depth == 0 && ActivePortal != nullptr; }

// A query at depth 0 need not be the portal's own: while that is only being started, functions already run to prune
// partitions. And at commit a WITH HOLD cursor's rows are stored, by a portal whose statement was its declaration.
bool IsTopLevel(const QueryDesc* query) {
  if (!IsTopLevel()) return false;
  const List* own = ActivePortal->stmts;
  if (own == NIL || (linitial(own) != query->plannedstmt && !list_member_ptr(own, query->plannedstmt))) return false;
  return (ActivePortal->cursorOptions & CURSOR_OPT_HOLD) == 0 || ActivePortal->holdStore == nullptr;
}

// Runs `chain` one level deeper. Restores the depth, and ends the statement if it is a recorded one, also when `chain`
// raises an error. `chain` must have a trivial destructor: an error longjmps over it.
template <typename Chain>
void RunNested(bool recorded, const Chain& chain) {
  static_assert(std::is_trivially_destructible_v<Chain>);
  volatile bool failed = true;
  ++depth;
  PG_TRY();
  {
    chain();
    failed = false;
  }
  PG_FINALLY();
  {
    --depth;
    if (recorded) accumulator::EndStatement(failed);
  }
  PG_END_TRY();
  if (depth == 0) accumulator::Settle();
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

// A statement is about to start. Returns whether it is recorded, and then EndStatement must follow.
bool Begin(const void* statement, const char* text, const PlannedStmt* planned, bool first_step) {
  comment_id::Look(text, planned);
  return accumulator::BeginStatement(statement, first_step);
}

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
  const bool recorded = IsTopLevel() && Begin(planned, text, planned, true);
  RunNested(recorded, [&] {
    CallUtility(planned, text, read_only, context, parameters, environment, destination, completion);
    if (recorded) accumulator::AddRows(RowsOf(completion));
  });
}

// As RunUtility, for what ControlsTransaction.
[[gnu::noinline]] void RunControl(PlannedStmt* planned, const char* text, bool read_only, ProcessUtilityContext context,
                                  ParamListInfo parameters, QueryEnvironment* environment, DestReceiver* destination,
                                  QueryCompletion* completion) {
  accumulator::ExpectEnd();
  CallUtility(planned, text, read_only, context, parameters, environment, destination, completion);
  accumulator::ExpectStatement();
}

void EndTransaction(bool rolled_back) {
  log_lines::TransactionEnds();
  accumulator::EndTransaction(rolled_back);
  // A procedure that commits still belongs to the id of the comment on its CALL.
  if (depth == 0) comment_id::TransactionEnded();
}

}  // namespace

extern "C" {

static void ReqtrailExecutorRun(REQTRAIL_EXECUTOR_RUN_PARAMETERS) {
  const bool recorded =
      IsTopLevel(query) && Begin(query, query->sourceText, query->plannedstmt, !query->already_executed);
  RunNested(recorded, [&] {
    CallRun(REQTRAIL_EXECUTOR_RUN_ARGUMENTS);
    if (recorded) accumulator::AddRows(query->estate->es_processed);
  });
}

static void ReqtrailExecutorFinish(QueryDesc* query) {
  if (!MayFireTriggers(query)) {
    CallFinish(query);
    return;
  }
  const bool recorded = IsTopLevel() && accumulator::ResumeStatement(query);
  RunNested(recorded, [&] { CallFinish(query); });
}

static void ReqtrailProcessUtility(PlannedStmt* planned, const char* text, bool read_only,
                                   ProcessUtilityContext context, ParamListInfo parameters,
                                   QueryEnvironment* environment, DestReceiver* destination,
                                   QueryCompletion* completion) {
  const Node* statement = planned->utilityStmt;
  if (IsA(statement, TransactionStmt)) {
    // Nothing runs inside it. It may free `planned`.
    const TransactionStmtKind kind = reinterpret_cast<const TransactionStmt*>(statement)->kind;
    if (depth == 0 && ControlsTransaction(kind)) {
      RunControl(planned, text, read_only, context, parameters, environment, destination, completion);
      return;
    }
    if (depth == 0 && EndsTransaction(kind)) accumulator::ExpectEnd();
    if (depth == 0 && BeginsTransaction(kind)) {
      comment_id::Look(text, planned);
      accumulator::Settle();
    }
    CallUtility(planned, text, read_only, context, parameters, environment, destination, completion);
    return;
  }
  if (depth == 0 && set_statement::SetsRequestId(statement)) {
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
    if (depth == 0 && IsTransactionState() && debug_query_string != nullptr) {
      comment_id::LookAtFailed(debug_query_string);
    }
    accumulator::CountError(error->elevel > ERROR);
    counting = false;
  }
  log_lines::AddRequestId(error);
  if (previous_emit_log != nullptr) previous_emit_log(error);
}

static void ReqtrailTransactionEvent(XactEvent event, void*) {
  switch (event) {
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
