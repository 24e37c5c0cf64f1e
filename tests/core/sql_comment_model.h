#pragma once

#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "core/request_id.h"
#include "core/traceparent.h"

/// What core/sql_comment.h should find, worked out the slow and plain way: colour every byte of the text, then look at
/// the colours. Shares nothing with it but the definitions of an id and of a traceparent.
namespace reqtrail::model {

struct Answer {
  std::string kind = "none";  // none, request_id, traceparent
  std::string id;             // empty: none, or a bad one
  bool operator==(const Answer& other) const = default;
};

struct Colours {
  std::string of_byte;                                        // c(ode), s(tring), l(ine comment), b(lock comment)
  std::vector<std::pair<std::size_t, std::size_t>> comments;  // from the /* to behind the */; only what is closed
};

inline bool IsSpace(char c) { return std::string(" \t\n\v\f\r").find(c) != std::string::npos; }
inline bool IsLetter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || (c & 0x80) != 0; }
inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// One byte after the other, with the state that PostgreSQL's lexer would be in.
class Painter {
 public:
  Painter(const std::string& text, bool backslash_escapes) : text_(text), escapes_by_default_(backslash_escapes) {
    colours_.of_byte.assign(text.size(), 'c');
  }

  Colours Paint() {
    while (at_ < text_.size()) Step();
    return colours_;
  }

 private:
  [[nodiscard]] bool Sees(const std::string& what) const { return text_.compare(at_, what.size(), what) == 0; }
  void Take(char colour, std::size_t bytes = 1) {
    for (; bytes > 0 && at_ < text_.size(); --bytes) colours_.of_byte[at_++] = colour;
  }

  void Step() {
    if (Sees("--")) {
      while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') Take('l');
    } else if (Sees("/*")) {
      BlockComment();
    } else if (text_[at_] == '"') {
      Take('s');
      while (at_ < text_.size() && text_[at_] != '"') Take('s');
      Take('s');
    } else if (text_[at_] == '\'') {
      String(escapes_by_default_);
    } else if (IsLetter(text_[at_])) {
      Word();
    } else if (text_[at_] == '$') {
      const std::string quote = DollarQuote();
      const std::size_t end = text_.find(quote, at_ + quote.size());
      if (quote == "$") {
        Take('c');
      } else {
        Take('s', end == std::string::npos ? text_.size() : end + quote.size() - at_);
      }
    } else {
      Take('c');
    }
  }

  // The quote that starts here, such as $tag$; "$" if none does.
  [[nodiscard]] std::string DollarQuote() const {
    const std::size_t end = text_.find('$', at_ + 1);
    if (end == std::string::npos) return "$";
    const std::string tag = text_.substr(at_ + 1, end - at_ - 1);
    for (std::size_t i = 0; i < tag.size(); ++i) {
      if (!IsLetter(tag[i]) && (i == 0 || !IsDigit(tag[i]))) return "$";
    }
    return "$" + tag + "$";
  }

  void Word() {
    std::string word;
    while (at_ < text_.size() && (IsLetter(text_[at_]) || IsDigit(text_[at_]) || text_[at_] == '$')) {
      word += text_[at_];
      Take('c');
    }
    if (at_ < text_.size() && text_[at_] == '\'') {
      if (word == "e" || word == "E") String(true);
      if (word == "b" || word == "B" || word == "x" || word == "X") String(false);
    }
  }

  void String(bool escapes) {
    Take('s');
    for (;;) {
      if (at_ == text_.size()) return;
      if (Sees("''") || (escapes && text_[at_] == '\\')) {
        Take('s', 2);
      } else if (text_[at_] != '\'') {
        Take('s');
      } else {
        Take('s');
        if (!Continues()) return;
        Take('s');
      }
    }
  }

  // Takes white space and line comments if they hold a newline and a quote follows.
  bool Continues() {
    std::size_t ahead = at_;
    bool newline = false;
    while (ahead < text_.size()) {
      if (IsSpace(text_[ahead])) {
        newline = newline || text_[ahead] == '\n' || text_[ahead] == '\r';
        ++ahead;
      } else if (text_.compare(ahead, 2, "--") == 0) {
        while (ahead < text_.size() && text_[ahead] != '\n' && text_[ahead] != '\r') ++ahead;
      } else {
        break;
      }
    }
    if (!newline || ahead == text_.size() || text_[ahead] != '\'') return false;
    Take('s', ahead - at_);
    return true;
  }

  void BlockComment() {
    const std::size_t from = at_;
    int depth = 0;
    while (at_ < text_.size()) {
      if (Sees("/*")) {
        ++depth;
        Take('b', 2);
      } else if (Sees("*/")) {
        --depth;
        Take('b', 2);
        if (depth == 0) {
          colours_.comments.emplace_back(from, at_);
          return;
        }
      } else {
        Take('b');
      }
    }
  }

  std::string text_;
  bool escapes_by_default_;
  std::size_t at_ = 0;
  Colours colours_;
};

inline std::string Decode(const std::string& value) {
  std::string decoded;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const bool encoded = value[i] == '%' && i + 2 < value.size() &&
                         std::isxdigit(static_cast<unsigned char>(value[i + 1])) != 0 &&
                         std::isxdigit(static_cast<unsigned char>(value[i + 2])) != 0;
    decoded += encoded ? static_cast<char>(std::stoi(value.substr(i + 1, 2), nullptr, 16)) : value[i];
    if (encoded) i += 2;
  }
  return decoded;
}

inline Answer Judge(const std::string& key, const std::string& value) {
  if (key == "request_id") return {.kind = key, .id = IsRequestId(value) ? value : ""};
  const auto parsed = ParseTraceparent(value);
  return {.kind = key, .id = parsed ? std::string(parsed->trace_id) : ""};
}

inline std::string Trimmed(std::string text) {
  while (!text.empty() && IsSpace(text.back())) text.pop_back();
  while (!text.empty() && IsSpace(text.front())) text.erase(0, 1);
  return text;
}

/// Takes the key in front of an item, and the white space around it.
inline std::string TakeKey(std::string& item) {
  while (!item.empty() && IsSpace(item.front())) item.erase(0, 1);
  std::string key;
  while (!item.empty() && (std::isalnum(static_cast<unsigned char>(item.front())) != 0 || item.front() == '_')) {
    key += item.front();
    item.erase(0, 1);
  }
  while (!item.empty() && IsSpace(item.front())) item.erase(0, 1);
  return key;
}

/// The first request_id and the first traceparent that one comment names.
inline std::array<Answer, 2> Items(std::string rest) {
  std::array<Answer, 2> found;
  for (;;) {
    const std::string key = TakeKey(rest);
    std::string value;
    bool named = false;
    if (rest.starts_with('=') && Trimmed(rest.substr(1)).starts_with('\'')) {
      std::size_t end = rest.find('\'') + 1;
      const std::size_t from = end;
      while (end < rest.size() && rest[end] != '\'') end += rest[end] == '\\' ? 2 : 1;
      if (end >= rest.size()) break;
      value = Decode(rest.substr(from, end - from));
      named = true;
      rest.erase(0, end + 1);
    } else if (rest.starts_with(':')) {
      value = Trimmed(rest.substr(1, rest.find(',') == std::string::npos ? rest.size() : rest.find(',') - 1));
      named = true;
    }
    Answer& answer = found[key == "traceparent" ? 1 : 0];
    if (named && (key == "request_id" || key == "traceparent") && answer.kind == "none") answer = Judge(key, value);
    const std::size_t comma = rest.find(',');
    if (comma == std::string::npos) break;
    rest.erase(0, comma + 1);
  }
  return found;
}

inline bool OnlyBetween(const std::string& text, const Colours& colours, std::size_t from, std::size_t to,
                        bool semicolons) {
  for (std::size_t i = from; i < to; ++i) {
    if (colours.of_byte[i] == 's') return false;
    const bool passed_over = IsSpace(text[i]) || (semicolons && text[i] == ';');
    if (colours.of_byte[i] == 'c' && !passed_over) return false;
  }
  return true;
}

/// Whether a block comment is the last thing in the text: the scanner looks at its end only then.
inline bool EndsWithComment(const std::string& text) {
  const std::size_t last = text.find_last_not_of(" \t\n\v\f\r;");
  return last != std::string::npos && last >= 3 && text.compare(last - 1, 2, "*/") == 0;
}

/// Whether a string or a comment is still open at the end of the text. The server refuses such a statement.
inline bool IsOpenAtEnd(const std::string& text, bool backslash_escapes) {
  const Colours colours = Painter(text + "~", backslash_escapes).Paint();
  return colours.of_byte.back() == 's' || colours.of_byte.back() == 'b';
}

/// The bodies of the comments that count, the one that goes first in front, for a text of any length, as if it were all
/// read.
inline std::vector<std::string> Bodies(const std::string& text, bool backslash_escapes, std::size_t window) {
  std::vector<std::string> in_order;
  const Colours front = Painter(text.substr(0, window), false).Paint();
  for (const auto& [from, to] : front.comments) {
    if (OnlyBetween(text, front, 0, from, false)) in_order.push_back(text.substr(from + 2, to - from - 4));
  }
  const Colours colours = Painter(text, backslash_escapes).Paint();
  const bool open = !colours.of_byte.empty() && colours.of_byte.back() == 'b' &&
                    (colours.comments.empty() || colours.comments.back().second != text.size());
  if (!EndsWithComment(text) || open) return in_order;
  for (auto comment = colours.comments.rbegin(); comment != colours.comments.rend(); ++comment) {
    const auto& [from, to] = *comment;
    if (from + window < text.size() || !OnlyBetween(text, colours, to, text.size(), true)) break;
    in_order.push_back(text.substr(from + 2, to - from - 4));
  }
  return in_order;
}

inline Answer Find(std::string_view given, bool backslash_escapes, std::size_t window) {
  const std::vector<std::string> bodies = Bodies(std::string(given), backslash_escapes, window);
  for (const std::size_t kind : {0U, 1U}) {
    for (const std::string& body : bodies) {
      const Answer answer = Items(body).at(kind);
      if (answer.kind != "none") return answer;
    }
  }
  return {};
}

}  // namespace reqtrail::model
