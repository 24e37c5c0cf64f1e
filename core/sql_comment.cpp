#include "core/sql_comment.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/traceparent.h"

namespace reqtrail {
namespace {

using detail::EndsStatement;
using detail::IsSqlSpace;

constexpr std::string_view kRequestIdKey = "request_id";
constexpr std::string_view kTraceparentKey = "traceparent";
constexpr char kNoTraceparent[] = "it is no W3C traceparent";

std::string_view Slice(std::string_view text, std::size_t from, std::size_t to) noexcept {
  return detail::Slice(text, from, to - from);
}

bool StartsAt(std::string_view text, std::size_t at, std::string_view what) noexcept {
  return text.size() - at >= what.size() && std::memcmp(text.data() + at, what.data(), what.size()) == 0;
}

std::size_t SkipSpace(std::string_view text, std::size_t at) noexcept {
  while (at < text.size() && IsSqlSpace(text[at])) ++at;
  return at;
}

std::string_view TrimEnd(std::string_view text) noexcept {
  while (!text.empty() && IsSqlSpace(text.back())) text.remove_suffix(1);
  return text;
}

// ---- what a comment says ----

// Undoes the percent encoding. Returns the size, at most limit + 1: there was more than fits. A "%" that encodes
// nothing stays, and makes the value no id.
std::size_t PercentDecode(std::string_view text, char* out, std::size_t limit) noexcept {
  std::size_t size = 0;
  for (std::size_t at = 0; at < text.size() && size <= limit; ++at, ++size) {
    char byte = text[at];
    const auto nibble = [&](std::size_t digit) {
      const char lower = static_cast<char>(text[digit] >= 'A' && text[digit] <= 'F' ? text[digit] | 0x20 : text[digit]);
      return detail::HexDigit(lower);
    };
    if (byte == '%' && text.size() - at > 2 && (nibble(at + 1) | nibble(at + 2)) < detail::kNoHexDigit) {
      byte = static_cast<char>((nibble(at + 1) * 16) + nibble(at + 2));
      at += 2;
    }
    if (size < limit) out[size] = byte;
  }
  return size;
}

SqlCommentId FromRequestId(std::string_view value) noexcept {
  SqlCommentId found;
  found.source = SqlCommentId::Source::kRequestId;
  const RequestIdFault fault = CheckRequestId(value);
  if (fault != RequestIdFault::kNone) {
    found.fault = Describe(fault);
    return found;
  }
  found.size = static_cast<std::uint8_t>(value.size());
  std::memcpy(found.bytes, value.data(), value.size());
  return found;
}

SqlCommentId FromTraceparent(std::string_view value) noexcept {
  const std::optional<Traceparent> parsed = ParseTraceparent(value);
  SqlCommentId found;
  if (parsed) found = FromRequestId(parsed->trace_id);
  found.source = SqlCommentId::Source::kTraceparent;
  if (!parsed) found.fault = kNoTraceparent;
  return found;
}

// What the comments have named so far. Of either kind, the first that is offered stays.
struct Named {
  SqlCommentId request_id;
  SqlCommentId traceparent;

  void Offer(std::string_view key, std::string_view value) noexcept {
    if (key == kRequestIdKey) {
      if (request_id.source == SqlCommentId::Source::kNone) request_id = FromRequestId(value);
    } else if (key == kTraceparentKey) {
      if (traceparent.source == SqlCommentId::Source::kNone) traceparent = FromTraceparent(value);
    }
  }
  void OfferEncoded(std::string_view key, std::string_view value) noexcept {
    if (key != kRequestIdKey && key != kTraceparentKey) return;
    // A traceparent of the future may be longer; what counts stands in front.
    constexpr std::size_t kLimit = 256;
    static_assert(kLimit > kRequestIdMaxBytes);
    char decoded[kLimit];
    Offer(key, {decoded, std::min(PercentDecode(value, decoded, kLimit), kLimit)});
  }
  // Takes what the other has found and this has not.
  void Complete(const Named& other) noexcept {
    if (request_id.source == SqlCommentId::Source::kNone) request_id = other.request_id;
    if (traceparent.source == SqlCommentId::Source::kNone) traceparent = other.traceparent;
  }
  [[nodiscard]] bool Settled() const noexcept { return request_id.source != SqlCommentId::Source::kNone; }
  [[nodiscard]] const SqlCommentId& Best() const noexcept { return Settled() ? request_id : traceparent; }
};

constexpr bool IsKeyByte(char byte) noexcept {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '_';
}

// Where the quote is that ends the value which starts at `at`.
std::size_t ClosingQuote(std::string_view body, std::size_t at) noexcept {
  while (at < body.size() && body[at] != '\'') at += body[at] == '\\' ? 2 : 1;
  return std::min(at, body.size());
}

// Reads the items of one comment; `body` is what stands between its /* and */.
void ReadItems(std::string_view body, Named& named) noexcept {
  for (std::size_t at = 0; at < body.size(); ++at) {
    const std::size_t key_from = SkipSpace(body, at);
    at = key_from;
    while (at < body.size() && IsKeyByte(body[at])) ++at;
    const std::string_view key = Slice(body, key_from, at);
    at = SkipSpace(body, at);
    const char notation = at < body.size() ? body[at] : '\0';
    if (notation == '=') {
      at = SkipSpace(body, at + 1);
      if (at < body.size() && body[at] == '\'') {
        const std::size_t end = ClosingQuote(body, at + 1);
        if (end < body.size()) named.OfferEncoded(key, Slice(body, at + 1, end));
        at = end;
      }
    }
    const std::size_t comma = std::min(body.find(',', at), body.size());
    if (notation == ':') named.Offer(key, TrimEnd(Slice(body, SkipSpace(body, at + 1), comma)));
    at = comma;
  }
}

// ---- where comments are ----

// Reads a SQL text from the start the way PostgreSQL's lexer does, as far as strings and comments go.
class Lexer {
 public:
  Lexer(std::string_view text, bool backslash_escapes) noexcept : text_(text), backslash_escapes_(backslash_escapes) {}

  enum class Token : unsigned char { kEnd, kBlockComment, kSemicolon, kOther };

  /// The next token behind white space and line comments. What does not end is kOther and reaches to the end.
  Token Next() noexcept {
    SkipSpaceAndLineComments();
    from_ = at_;
    if (at_ == text_.size()) return Token::kEnd;
    if (StartsAt(text_, at_, "/*")) return SkipBlockComment() ? Token::kBlockComment : Token::kOther;
    const char byte = text_[at_];
    if (byte == ';') {
      ++at_;
      return Token::kSemicolon;
    }
    if (byte == '\'') {
      SkipString(backslash_escapes_);
    } else if (byte == '"') {
      at_ = Behind(text_.find('"', at_ + 1), 1);
    } else if (byte == '$') {
      SkipDollar();
    } else if (IsIdentifierStart(byte)) {
      SkipIdentifier();
    } else {
      ++at_;
    }
    return Token::kOther;
  }

  /// What stands between the /* and */ of the comment that Next() returned last.
  [[nodiscard]] std::string_view CommentBody() const noexcept { return Slice(text_, from_ + 2, at_ - 2); }

 private:
  static bool IsIdentifierStart(char byte) noexcept {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' || (byte & 0x80) != 0;
  }
  static bool IsTagByte(char byte) noexcept { return IsIdentifierStart(byte) || (byte >= '0' && byte <= '9'); }

  // The place behind `bytes` bytes found at `found`, which may be npos: then the end.
  [[nodiscard]] std::size_t Behind(std::size_t found, std::size_t bytes) const noexcept {
    return found == std::string_view::npos ? text_.size() : found + bytes;
  }
  [[nodiscard]] bool IsAt(char byte) const noexcept { return at_ < text_.size() && text_[at_] == byte; }

  void SkipLineComment() noexcept {
    while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
  }

  void SkipSpaceAndLineComments() noexcept {
    for (;;) {
      at_ = SkipSpace(text_, at_);
      if (!StartsAt(text_, at_, "--")) return;
      SkipLineComment();
    }
  }

  bool SkipBlockComment() noexcept {
    unsigned depth = 0;
    while (at_ < text_.size()) {
      if (StartsAt(text_, at_, "/*")) {
        ++depth;
        at_ += 2;
      } else if (StartsAt(text_, at_, "*/")) {
        at_ += 2;
        if (--depth == 0) return true;
      } else {
        ++at_;
      }
    }
    return false;
  }

  // From an opening quote on, the pieces that continue the string in later lines included: they are of its kind.
  void SkipString(bool escapes) noexcept {
    do {
      ++at_;
      while (at_ < text_.size()) {
        if (text_[at_] == '\'') {
          ++at_;
          if (!IsAt('\'')) break;
        } else if (text_[at_] == '\\' && escapes) {
          ++at_;
        }
        at_ = std::min(at_ + 1, text_.size());
      }
    } while (SkipToContinuation());
  }

  // From behind a string to the quote that continues it, if white space with a newline is all that lies between.
  bool SkipToContinuation() noexcept {
    const std::size_t behind = at_;
    SkipSpaceAndLineComments();
    const std::string_view between = Slice(text_, behind, at_);
    if (IsAt('\'') && between.find_first_of("\n\r") != std::string_view::npos) return true;
    at_ = behind;
    return false;
  }

  void SkipDollar() noexcept {
    const std::size_t from = at_++;
    if (at_ < text_.size() && IsIdentifierStart(text_[at_])) {
      while (at_ < text_.size() && IsTagByte(text_[at_])) ++at_;
    }
    if (!IsAt('$')) {
      at_ = from + 1;  // a parameter, or nothing that makes sense
      return;
    }
    const std::string_view quote = Slice(text_, from, at_ + 1);
    at_ = Behind(text_.find(quote, at_ + 1), quote.size());
  }

  // An identifier or keyword, or the letter in front of a string that tells its kind.
  void SkipIdentifier() noexcept {
    const std::size_t from = at_;
    while (at_ < text_.size() && (IsTagByte(text_[at_]) || text_[at_] == '$')) ++at_;
    if (at_ - from > 1 || !IsAt('\'')) return;
    switch (text_[from]) {
      case 'e':
      case 'E': SkipString(true); break;
      case 'b':
      case 'B':
      case 'x':
      case 'X': SkipString(false); break;
      default: break;
    }
  }

  std::string_view text_;
  bool backslash_escapes_;
  std::size_t from_ = 0;
  std::size_t at_ = 0;
};

// The comments before the first token.
void ReadFront(std::string_view sql, Named& named) noexcept {
  Lexer lexer(Slice(sql, 0, std::min(sql.size(), kSqlCommentWindowBytes)), false);
  while (lexer.Next() == Lexer::Token::kBlockComment) ReadItems(lexer.CommentBody(), named);
}

// The comments behind the last token of a text that may be read as a whole.
void ReadEndFromStart(std::string_view sql, bool backslash_escapes, Named& named) noexcept {
  Lexer lexer(sql, backslash_escapes);
  const std::size_t window_from = sql.size() - std::min(sql.size(), kSqlCommentWindowBytes);
  Named at_end;
  for (;;) {
    switch (lexer.Next()) {
      case Lexer::Token::kEnd: named.Complete(at_end); return;
      case Lexer::Token::kSemicolon: break;
      case Lexer::Token::kOther: at_end = Named{}; break;
      case Lexer::Token::kBlockComment: {
        const std::string_view body = lexer.CommentBody();
        if (body.data() - sql.data() < static_cast<std::ptrdiff_t>(window_from + 2)) break;
        Named nearer_to_end;
        ReadItems(body, nearer_to_end);
        nearer_to_end.Complete(at_end);
        at_end = nearer_to_end;
        break;
      }
    }
  }
}

// The comment at the end of `tail`, going by its last bytes alone. Nothing: there is none, or no telling.
std::optional<std::string_view> LastComment(std::string_view tail) noexcept {
  if (tail.size() < 4 || !StartsAt(tail, tail.size() - 2, "*/")) return std::nullopt;
  const std::string_view inside = Slice(tail, 0, tail.size() - 2);
  const std::size_t open = inside.rfind("/*");
  if (open == std::string_view::npos) return std::nullopt;
  const std::string_view body = Slice(inside, open + 2, inside.size());
  if (body.find("*/") != std::string_view::npos) return std::nullopt;  // nested
  if (open > 0 && tail[open - 1] == '*') return std::nullopt;          // it may be the end of a comment, and a "*"
  const std::size_t newline = tail.find_last_of("\n\r");
  if (tail.find("--", newline == std::string_view::npos ? 0 : newline + 1) != std::string_view::npos) {
    return std::nullopt;  // its end may be that of a line comment
  }
  return body;
}

// The comments behind the last token of a text too long to be read as a whole.
void ReadEndBackwards(std::string_view sql, Named& named) noexcept {
  std::string_view tail = Slice(sql, sql.size() - kSqlCommentWindowBytes, sql.size());
  for (;;) {
    while (!tail.empty() && EndsStatement(tail.back())) tail.remove_suffix(1);
    const std::optional<std::string_view> body = LastComment(tail);
    if (!body) return;
    ReadItems(*body, named);
    if (named.Settled()) return;
    tail = Slice(tail, 0, static_cast<std::size_t>(body->data() - tail.data()) - 2);
  }
}

}  // namespace

SqlCommentId FindRequestId(std::string_view sql, bool backslash_escapes) noexcept {
  Named named;
  ReadFront(sql, named);
  if (named.Settled()) return named.Best();
  std::size_t size = sql.size();
  while (size > 0 && EndsStatement(sql[size - 1])) --size;
  if (size < 4 || !StartsAt(sql, size - 2, "*/")) return named.Best();
  if (sql.size() <= 2 * kSqlCommentWindowBytes) {
    ReadEndFromStart(sql, backslash_escapes, named);
  } else {
    ReadEndBackwards(sql, named);
  }
  return named.Best();
}

RequestIdComment::RequestIdComment(std::string_view id) noexcept {
  if (!IsRequestId(id)) return;
  for (const std::string_view part : {kBefore, id, kAfter}) {
    std::memcpy(bytes_ + size_, part.data(), part.size());
    size_ += part.size();
  }
}

}  // namespace reqtrail
