// What a request id is, the comment that tells one, and traceparent, each against its definition in plain words.
#include <cstdint>
#include <string>

#include "core/request_id.h"
#include "core/sql_comment.h"
#include "core/traceparent.h"
#include "tests/fuzz/expect.h"

namespace reqtrail {
namespace {

bool IsAll(const std::string& text, const std::string& alphabet) {
  return text.find_first_not_of(alphabet) == std::string::npos;
}

void CheckId(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  const bool expected = !text.empty() && text.size() <= 128 && IsAll(text, alphabet);
  REQTRAIL_EXPECT(IsRequestId(text) == expected);
  REQTRAIL_EXPECT((*Describe(CheckRequestId(text)) == '\0') == expected);
  const std::string comment(RequestIdComment(text).View());
  REQTRAIL_EXPECT(comment == (expected ? "/* request_id: " + text + " */" : ""));
  if (expected) REQTRAIL_EXPECT(FindRequestId(comment + "SELECT 1", false).View() == text);
}

void CheckTraceparent(const std::string& text) {
  const std::string hex = "0123456789abcdef";
  const auto field = [&](std::size_t from, std::size_t size) { return text.substr(from, size); };
  bool expected = text.size() >= 55 && text[2] == '-' && text[35] == '-' && text[52] == '-';
  expected = expected && IsAll(field(0, 2) + field(3, 32) + field(36, 16) + field(53, 2), hex);
  expected = expected && field(0, 2) != "ff" && !IsAll(field(3, 32), "0") && !IsAll(field(36, 16), "0");
  expected = expected && (text.size() == 55 || (field(0, 2) != "00" && text[55] == '-'));
  const auto parsed = ParseTraceparent(text);
  REQTRAIL_EXPECT(parsed.has_value() == expected);
  if (!parsed) return;
  REQTRAIL_EXPECT(parsed->version == std::stoi(field(0, 2), nullptr, 16));
  REQTRAIL_EXPECT(parsed->flags == std::stoi(field(53, 2), nullptr, 16));
  REQTRAIL_EXPECT(parsed->trace_id == field(3, 32) && parsed->parent_id == field(36, 16));
  REQTRAIL_EXPECT(IsRequestId(parsed->trace_id));
}

}  // namespace
}  // namespace reqtrail

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  reqtrail::CheckId(text);
  reqtrail::CheckTraceparent(text);
  return 0;
}
