#include "pg_extension/settings.h"

#include <climits>

#include "pg_extension/accumulator.h"
#include "pg_extension/compat.h"
#include "pg_extension/shared_state.h"

namespace reqtrail {
namespace {

constexpr int kDefaultMax = 25000;
constexpr int kLeastMax = 128;
constexpr int kMostMax = 1 << 24;

char* request_id_text = nullptr;  // the setting as text, kept by the server
int max_records = kDefaultMax;
bool parse_comments = true;
bool log_request_id = true;

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
  detail::comments_count = parse_comments && id_of_setting == nullptr;
  accumulator::RequestIdChanged();
}

void AssignRequestIdSetting(const char*, void* extra) {
  id_of_setting = static_cast<const RequestId*>(extra);
  Choose();
}

void AssignParseComments(bool parse, void*) { detail::comments_count = parse && id_of_setting == nullptr; }

}  // namespace

void DefineSettings() {
  DefineCustomStringVariable(
      kRequestIdSetting, "The request that this session works for.",
      R"(1 to 128 characters of A-Z, a-z, 0-9, ".", "_" and "-"; empty: none. Usually set with SET LOCAL.)",
      &request_id_text, "", PGC_USERSET, 0, &CheckRequestIdSetting, &AssignRequestIdSetting, nullptr);
  DefineCustomIntVariable("pg_stat_requests.max", "Number of requests that are remembered.",
                          "When there are more, the ones that came first give way.", &max_records, kDefaultMax,
                          kLeastMax, kMostMax, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable("pg_stat_requests.parse_comments",
                           "Takes the request id from SQL comments where pg_stat_requests.request_id is empty.",
                           "Looks at the first and the last 2 kB of each statement that the client sends.",
                           &parse_comments, true, PGC_USERSET, 0, nullptr, &AssignParseComments, nullptr);
  DefineCustomBoolVariable("pg_stat_requests.log_request_id", "Adds the request id to lines of the server log.",
                           "It stands at the end of the line's detail, which is not sent to the client.",
                           &log_request_id, true, PGC_SUSET, 0, nullptr, nullptr, nullptr);
  MarkGUCPrefixReserved("pg_stat_requests");
}

int MaxRecords() noexcept { return max_records; }
bool ParsesComments() noexcept { return parse_comments; }
bool LogsRequestId() noexcept { return log_request_id; }

void UseCommentId(const RequestId* id) noexcept {
  id_of_comment = id;
  Choose();
}

}  // namespace reqtrail
