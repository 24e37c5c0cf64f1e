#include "pg_extension/settings.h"

#include <climits>

#include "pg_extension/accumulator.h"
#include "pg_extension/compat.h"
#include "pg_extension/shared_state.h"

namespace reqtrail {
namespace {

constexpr int kLeastMax = 128;
constexpr int kMostMax = 1 << 24;
constexpr int kMostEvents = 1 << 20;

char* request_id_text = nullptr;  // the setting as text, kept by the server
int max_records = 25000;
int max_notable = 5000;
int max_errors = 1000;
int max_slow = 1000;
bool parse_comments = true;
bool log_request_id = true;
bool save = true;

constexpr config_enum_entry TrackName(const char* name, Track track) {
  return {.name = name, .val = static_cast<int>(track), .hidden = false};
}
const config_enum_entry kTrackNames[] = {
    TrackName("none", Track::kNone), TrackName("top", Track::kTop), TrackName("all", Track::kAll), {}};

const RequestId* id_of_setting = nullptr;
const RequestId* id_of_comment = nullptr;

// Whether a refused id is worth a warning now. A parallel worker repeats what its leader was told; a reload of the
// configuration file is repeated by every backend, but the postmaster is enough; a test (ALTER ROLE SET) sets nothing.
bool WorthWarning(GucSource source) {
  if (source == PGC_S_TEST || InitializingParallelWorker) return false;
  return source > PGC_S_FILE || !IsUnderPostmaster;
}

void RefuseRequestId(RequestIdFault fault, GucSource source) {
  if (!WorthWarning(source)) return;
  if (SharedState* state = SharedState::Get()) pg_atomic_fetch_add_u64(&state->ignored_ids, 1);
  ereport(WARNING, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid request id ignored"),
                    errdetail("A value for \"%s\" was refused: %s.", kRequestIdSetting, Describe(fault)),
                    errhint("A request id is 1 to %zu characters of A-Z, a-z, 0-9, \".\", \"_\" and \"-\".",
                            kRequestIdMaxBytes)));
}

// Never fails for a value that is no id: the transaction of the application goes on, without an id.
bool CheckRequestIdSetting(char** value, void** extra, GucSource source) {
  const std::string_view id(*value);
  if (id.empty()) return true;
  const RequestIdFault fault = CheckRequestId(id);
  if (fault == RequestIdFault::kNone) {
    auto* parsed = static_cast<RequestId*>(AllocateForSetting(sizeof(RequestId)));
    if (parsed == nullptr) return false;
    parsed->Assign(id);
    *extra = parsed;
    return true;
  }
  RefuseRequestId(fault, source);
  // The value belongs to us: shortened to "", it stays one allocation that the server frees.
  (*value)[0] = '\0';
  return true;
}

void Choose() noexcept {
  detail::request_id_in_effect = id_of_setting != nullptr ? id_of_setting : id_of_comment;
  const bool records = detail::track != static_cast<int>(Track::kNone);
  detail::recorded_request_id = records ? detail::request_id_in_effect : nullptr;
  detail::comments_count = parse_comments && id_of_setting == nullptr;
  accumulator::RequestIdChanged();
}

void AssignRequestIdSetting(const char*, void* extra) {
  id_of_setting = static_cast<const RequestId*>(extra);
  Choose();
}

void AssignParseComments(bool parse, void*) { detail::comments_count = parse && id_of_setting == nullptr; }

void AssignTrack(int track, void*) {
  detail::track = track;
  Choose();
}

void DefineSize(const char* name, const char* what, int* size, int most) {
  DefineCustomIntVariable(name, what, "When there are more, the ones that came first give way.", size, *size, kLeastMax,
                          most, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
}

void DefineDuration(const char* name, const char* what, const char* more, int* milliseconds, GucContext context) {
  DefineCustomIntVariable(name, what, more, milliseconds, *milliseconds, -1, INT_MAX, context, GUC_UNIT_MS, nullptr,
                          nullptr, nullptr);
}

void DefineSwitch(const char* name, const char* what, const char* more, bool* on, GucContext context) {
  DefineCustomBoolVariable(name, what, more, on, *on, context, 0, nullptr, nullptr, nullptr);
}

void DefineSizes() {
  DefineSize("pg_stat_requests.max", "Number of requests that are remembered.", &max_records, kMostMax);
  DefineSize("pg_stat_requests.max_notable",
             "Number of requests with errors or a long duration that are remembered when others give way.",
             &max_notable, kMostMax);
  DefineSize("pg_stat_requests.max_errors", "Number of errors that are remembered.", &max_errors, kMostEvents);
  DefineSize("pg_stat_requests.max_slow", "Number of slow statements that are remembered.", &max_slow, kMostEvents);
}

void DefineDurations() {
  DefineDuration("pg_stat_requests.notable_duration",
                 "A request whose statements and commits took at least so long is notable.",
                 "Such requests, and those with errors, are remembered longer than others. -1: only those with errors.",
                 &detail::notable_duration, PGC_SIGHUP);
  DefineDuration("pg_stat_requests.slow_statement_threshold",
                 "Statements of a request that took at least so long are kept in pg_stat_requests_slow.",
                 "0: all of them. -1: none.", &detail::slow_statement_threshold, PGC_SUSET);
  DefineDuration("pg_stat_requests.log_min_duration",
                 "Logs what a request did in a transaction that took at least so long.",
                 "One line in the server log, with the numbers as JSON. 0: all of them. -1: none.",
                 &detail::log_min_duration, PGC_SUSET);
}

void DefineSwitches() {
  DefineCustomBoolVariable("pg_stat_requests.parse_comments",
                           "Takes the request id from SQL comments where pg_stat_requests.request_id is empty.",
                           "Looks at the first and the last 2 kB of each statement that the client sends.",
                           &parse_comments, true, PGC_USERSET, 0, nullptr, &AssignParseComments, nullptr);
  DefineSwitch("pg_stat_requests.log_request_id", "Adds the request id to lines of the server log.",
               "It stands at the end of the line's detail, which is not sent to the client.", &log_request_id,
               PGC_SUSET);
  DefineSwitch("pg_stat_requests.track_cpu", "Measures the CPU time of requests.",
               "By two system calls for each transaction of a request.", &detail::track_cpu, PGC_SUSET);
  DefineSwitch("pg_stat_requests.save", "Keeps the statistics when the server is restarted.",
               "They are lost when it crashes.", &save, PGC_SIGHUP);
}

}  // namespace

void DefineSettings() {
  DefineCustomStringVariable(
      kRequestIdSetting, "The request that this session works for.",
      R"(1 to 128 characters of A-Z, a-z, 0-9, ".", "_" and "-"; empty: none. Usually set with SET LOCAL.)",
      &request_id_text, "", PGC_USERSET, 0, &CheckRequestIdSetting, &AssignRequestIdSetting, nullptr);
  DefineCustomEnumVariable("pg_stat_requests.track", "Which statements of requests are recorded.",
                           "top: those that the client sends. all: those inside of them too. none: nothing.",
                           &detail::track, static_cast<int>(Track::kTop), kTrackNames, PGC_SUSET, 0, nullptr,
                           &AssignTrack, nullptr);
  DefineSizes();
  DefineDurations();
  DefineSwitches();
  MarkGUCPrefixReserved("pg_stat_requests");
}

int MaxRecords() noexcept { return max_records; }
int MaxNotable() noexcept { return max_notable; }
int MaxErrors() noexcept { return max_errors; }
int MaxSlowStatements() noexcept { return max_slow; }
bool SavesStatistics() noexcept { return save; }
bool ParsesComments() noexcept { return parse_comments; }
bool LogsRequestId() noexcept { return log_request_id; }

void UseCommentId(const RequestId* id) noexcept {
  id_of_comment = id;
  Choose();
}

}  // namespace reqtrail
