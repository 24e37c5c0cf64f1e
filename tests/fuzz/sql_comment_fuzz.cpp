// The comment scanner against the plain model: the same answer for every text that is read as a whole. For a longer one
// it may pass a comment over, but never name what the model does not.
#include <cstdint>
#include <string>

#include "core/sql_comment.h"
#include "tests/core/sql_comment_model.h"
#include "tests/fuzz/expect.h"

namespace reqtrail {
namespace {

model::Answer Answer(const SqlCommentId& found) {
  switch (found.source) {
    case SqlCommentId::Source::kNone: return {};
    case SqlCommentId::Source::kRequestId: return {.kind = "request_id", .id = std::string(found.View())};
    case SqlCommentId::Source::kTraceparent: return {.kind = "traceparent", .id = std::string(found.View())};
  }
  return {};
}

// Whether the last token is an operator with "*/" at its end, which no valid statement has there.
bool EndsInAnOperator(const std::string& sql, bool backslash_escapes) {
  const std::string colours = model::Painter(sql, backslash_escapes).Paint().of_byte;
  std::size_t size = sql.size();
  while (size > 0 && (colours[size - 1] != 'c' || model::IsSpace(sql[size - 1]) || sql[size - 1] == ';')) {
    if (colours[size - 1] == 's') return false;
    --size;
  }
  return size > 0 && sql[size - 1] == '/';
}

// Of a text that is not read from its start: each comment at the end may be passed over, but none may be made up.
void CheckLong(const std::string& sql, bool backslash_escapes, const model::Answer& answer) {
  if (answer == model::Answer{} || model::IsOpenAtEnd(sql, backslash_escapes)) return;
  if (EndsInAnOperator(sql, backslash_escapes)) return;
  const std::string end = sql.substr(sql.size() - kSqlCommentWindowBytes);
  if (end.find_last_of("\n\r") == std::string::npos) return;  // a line comment may have begun before it
  bool is_there = false;
  for (const std::string& body : model::Bodies(sql, backslash_escapes, kSqlCommentWindowBytes)) {
    for (const model::Answer& item : model::Items(body)) is_there = is_there || item == answer;
  }
  REQTRAIL_EXPECT(is_there);
}

void Check(const std::string& sql, bool backslash_escapes) {
  const SqlCommentId found = FindRequestId(sql, backslash_escapes);
  REQTRAIL_EXPECT(found.size <= kRequestIdMaxBytes);
  REQTRAIL_EXPECT((found.size == 0) == (found.source == SqlCommentId::Source::kNone || found.fault != nullptr));
  REQTRAIL_EXPECT(found.size == 0 || IsRequestId(found.View()));
  REQTRAIL_EXPECT(found.source == SqlCommentId::Source::kNone || MayNameRequestId(sql));
  const model::Answer answer = Answer(found);
  if (sql.size() <= 2 * kSqlCommentWindowBytes) {
    REQTRAIL_EXPECT(answer == model::Find(sql, backslash_escapes, kSqlCommentWindowBytes));
  } else {
    CheckLong(sql, backslash_escapes, answer);
  }
}

}  // namespace
}  // namespace reqtrail

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool backslash_escapes = (data[0] & 1U) != 0;
  const std::string sql(reinterpret_cast<const char*>(data) + 1, size - 1);
  reqtrail::Check(sql, backslash_escapes);
  // The same behind a text that is too long to be read: a plain literal.
  if ((data[0] & 2U) != 0) reqtrail::Check("SELECT '" + std::string(6000, 'v') + "' " + sql, backslash_escapes);
  return 0;
}
