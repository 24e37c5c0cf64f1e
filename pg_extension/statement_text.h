#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/sql_comment.h"
#include "pg_extension/pg.h"
#include "pg_extension/request_key.h"

namespace reqtrail {

/// A statement in the text that the client sent, and what the server knows it by. Valid as long as the text is.
struct StatementText {
  const char* sent = nullptr;  // the whole text, which may hold several statements
  int location = -1;           // of the statement in it, in bytes; -1: unknown
  int length = 0;              // in bytes; 0: to the end
  std::uint64_t queryid = 0;   // 0: the server computed none

  StatementText() = default;
  StatementText(const PlannedStmt* planned, const char* whole) noexcept
      : sent(whole),
        location(planned->stmt_location),
        length(planned->stmt_len),
        queryid(static_cast<std::uint64_t>(planned->queryId)) {}

  /// The statement alone, without white space at its ends.
  [[nodiscard]] std::string_view View() const noexcept {
    const char* start = location > 0 ? sent + location : sent;
    return Trimmed({start, location >= 0 && length > 0 ? static_cast<std::size_t>(length) : std::strlen(start)});
  }

  /// The server's query id, or else a hash of the text without a comment at either end, where tags of this one
  /// execution may stand. Never 0. Reads of a long text only its ends.
  [[nodiscard]] std::uint64_t Identity() const noexcept {
    if (queryid != 0) return queryid;
    constexpr std::size_t kEnd = 1024;
    const std::string_view text = Trimmed(WithoutOuterComments(View()));
    std::uint64_t hash = HashBytes(text.substr(0, kEnd), text.size());
    if (text.size() > kEnd) hash = HashBytes(text.substr(std::max(kEnd, text.size() - kEnd)), hash);
    return hash == 0 ? 1 : hash;
  }

 private:
  [[nodiscard]] static std::string_view Trimmed(std::string_view text) noexcept {
    while (!text.empty() && detail::IsSqlSpace(text.front())) text.remove_prefix(1);
    while (!text.empty() && detail::IsSqlSpace(text.back())) text.remove_suffix(1);
    return text;
  }

  // Finds both by their nearest ends: what is nested, or inside a string, is only cut a little shorter.
  [[nodiscard]] static std::string_view WithoutOuterComments(std::string_view text) noexcept {
    if (text.ends_with("*/")) {
      for (std::size_t at = text.size() - 2; at >= 2; --at) {
        if (text[at - 2] != '/' || text[at - 1] != '*') continue;
        text = text.substr(0, at - 2);
        break;
      }
    }
    if (text.starts_with("/*")) {
      for (std::size_t at = 4; at <= text.size(); ++at) {
        if (text[at - 2] == '*' && text[at - 1] == '/') return text.substr(at);
      }
    }
    return text;
  }
};

}  // namespace reqtrail
