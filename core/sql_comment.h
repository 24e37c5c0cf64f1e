#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/request_id.h"

/// The request id in the comments of a SQL text: how it is found and how it is written. Nothing here allocates, throws
/// or needs libstdc++ at run time.
namespace reqtrail {

/// How far from each end of a SQL text a comment is looked for.
inline constexpr std::size_t kSqlCommentWindowBytes = 2048;

/// What a SQL text says about its request id.
struct SqlCommentId {
  enum class Source : unsigned char { kNone, kRequestId, kTraceparent };

  Source source = Source::kNone;  ///< what named an id; kNone: nothing did
  const char* fault = nullptr;    ///< why the id that was named is none, static text for a person; nullptr: it is one
  std::uint8_t size = 0;          ///< of the id; 0 when there is none, or a fault
  char bytes[kRequestIdMaxBytes]{};  ///< the id, decoded; not NUL-terminated

  [[nodiscard]] std::string_view View() const noexcept { return {bytes, size}; }
};

namespace detail {

/// White space to PostgreSQL's lexer.
constexpr bool IsSqlSpace(char byte) noexcept { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/// What may stand behind the last comment of a text.
constexpr bool EndsStatement(char byte) noexcept { return IsSqlSpace(byte) || byte == ';'; }

}  // namespace detail

/// Whether FindRequestId could find something: whether a comment stands at either end. A few instructions for nearly
/// every SQL text that has none.
[[nodiscard]] constexpr bool MayNameRequestId(std::string_view sql) noexcept {
  if (sql.empty()) return false;
  if (sql.front() <= '/') {
    std::size_t at = 0;
    while (at < sql.size() && detail::IsSqlSpace(sql[at])) ++at;
    if (at < sql.size() && (sql[at] == '/' || sql[at] == '-')) return true;
  }
  if (sql.back() > ';') return false;
  std::size_t size = sql.size();
  while (size > 0 && detail::EndsStatement(sql[size - 1])) --size;
  return size > 1 && sql[size - 1] == '/' && sql[size - 2] == '*';
}

/// Finds the id that a SQL text names in a block comment before its first token or behind its last one (white space,
/// semicolons and other comments apart). In a comment stand items, with commas between them:
///
///     /* request_id: x */   /*controller='a',request_id='x'*/   /*traceparent='00-<x>-<parent>-01'*/
///
/// The quoted notation is that of sqlcommenter: its values are percent-decoded. `request_id` goes before
/// `traceparent`, a comment at the front before one at the end, and one nearer to the end of the text before others
/// there. Strings of every kind, quoted identifiers, nested and line comments are understood, and what looks like a
/// comment in one of them is none.
///
/// Only the first and the last kSqlCommentWindowBytes are looked at. A text longer than both together is not read from
/// the start, so at its end a nested comment, and one with "--" in its last line, is passed over.
///
/// `backslash_escapes`: whether a backslash escapes in '...' (standard_conforming_strings = off), as it does in E'...'.
/// O(1), apart from white space at the end.
[[nodiscard]] SqlCommentId FindRequestId(std::string_view sql, bool backslash_escapes) noexcept;

/// The comment that tells a request id to whoever reads the SQL: "/* request_id: x */".
class RequestIdComment {
 public:
  /// Empty for what is no request id: nothing that could end the comment, or start another, can get into one.
  explicit RequestIdComment(std::string_view id) noexcept;

  /// Valid as long as this object.
  [[nodiscard]] std::string_view View() const noexcept { return {bytes_, size_}; }

 private:
  static constexpr std::string_view kBefore = "/* request_id: ";
  static constexpr std::string_view kAfter = " */";

  std::size_t size_ = 0;
  char bytes_[kBefore.size() + kRequestIdMaxBytes + kAfter.size()];
};

}  // namespace reqtrail
