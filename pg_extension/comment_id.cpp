#include "pg_extension/comment_id.h"

#include "pg_extension/accumulator.h"
#include "pg_extension/compat.h"
#include "pg_extension/shared_state.h"

namespace reqtrail::comment_id {
namespace {

RequestId id;  // what the comments of this transaction last named; size 0: nothing
bool warned = false;

void Use(std::string_view named) noexcept {
  detail::taken = true;
  if (id.View() == named) return;
  id.Assign(named);
  UseCommentId(named.empty() ? nullptr : &id);
}

void CountRefused() noexcept {
  if (SharedState* state = SharedState::Get()) pg_atomic_fetch_add_u64(&state->ignored_ids, 1);
}

}  // namespace

void detail::Take(const char* text) {
  const SqlCommentId found = FindRequestId(text, BackslashEscapes());
  if (found.source == SqlCommentId::Source::kNone) return;
  Use(found.View());
  if (found.fault == nullptr) return;
  CountRefused();
  if (warned) return;
  warned = true;
  ereport(WARNING, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid request id ignored"),
                    errdetail("A comment of the statement named one that was refused: %s.", found.fault),
                    errhint("A request id is 1 to %zu characters of A-Z, a-z, 0-9, \".\", \"_\" and \"-\".",
                            kRequestIdMaxBytes)));
}

void detail::TakeAhead(const char* text) noexcept {
  const SqlCommentId found = FindRequestId(text, BackslashEscapes());
  if (found.source != SqlCommentId::Source::kNone && found.fault == nullptr) Use(found.View());
}

void detail::Forget() noexcept {
  detail::taken = false;
  warned = false;
  if (id.size == 0) return;
  id.size = 0;
  UseCommentId(nullptr);
}

void LookAtFailed(const char* text) noexcept {
  if (!reqtrail::detail::comments_count) return;
  const SqlCommentId found = Find(text);
  if (found.source == SqlCommentId::Source::kNone) return;
  if (found.fault != nullptr) CountRefused();
  Use(found.View());
}

SqlCommentId Find(const char* text) noexcept {
  if (!ParsesComments() || !MayNameRequestId(text)) return {};
  return FindRequestId(text, BackslashEscapes());
}

}  // namespace reqtrail::comment_id
