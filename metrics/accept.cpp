#include "metrics/accept.h"

#include <algorithm>
#include <cstddef>

namespace reqtrail {
namespace {

constexpr int kFullQuality = 1000;

constexpr bool IsSpace(char c) noexcept { return c == ' ' || c == '\t'; }
constexpr char Lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view Trimmed(std::string_view text) noexcept {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// Takes what is before the next `separator` off the front.
std::string_view TakePart(std::string_view& rest, char separator) noexcept {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return Trimmed(part);
}

// "0.25" -> 250. RFC 9110 allows three decimals; what is malformed counts as not wanted.
int Quality(std::string_view text) noexcept {
  if (text.empty() || (text.front() != '0' && text.front() != '1')) return 0;
  int quality = (text.front() - '0') * kFullQuality;
  if (text.size() > 1 && text[1] != '.') return 0;
  int unit = kFullQuality / 10;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (c < '0' || c > '9') return 0;
    quality += (c - '0') * unit;
    unit /= 10;
  }
  return std::min(quality, kFullQuality);
}

}  // namespace

bool SameIgnoringCase(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, [](char x, char y) { return Lower(x) == Lower(y); });
}

ExpositionFormat ChooseFormat(std::string_view accept) noexcept {
  int open_metrics = 0;
  int text = 0;
  while (!accept.empty()) {
    std::string_view range = TakePart(accept, ',');
    const std::string_view type = TakePart(range, ';');
    std::string_view version;
    int quality = kFullQuality;
    while (!range.empty()) {
      std::string_view value = TakePart(range, ';');
      const std::string_view name = TakePart(value, '=');
      if (SameIgnoringCase(name, "q")) quality = Quality(Trimmed(value));
      if (SameIgnoringCase(name, "version")) version = Trimmed(value);
    }
    if (version.size() >= 2 && version.front() == '"' && version.back() == '"')
      version = version.substr(1, version.size() - 2);
    const bool is_ours = version.empty() || version == "1.0.0" || version == "0.0.1";
    if (SameIgnoringCase(type, "application/openmetrics-text") && is_ours)
      open_metrics = std::max(open_metrics, quality);
    if (SameIgnoringCase(type, "text/plain")) text = std::max(text, quality);
  }
  return open_metrics > 0 && open_metrics >= text ? ExpositionFormat::kOpenMetrics : ExpositionFormat::kText;
}

bool AcceptsGzip(std::string_view accept_encoding) noexcept {
  while (!accept_encoding.empty()) {
    std::string_view range = TakePart(accept_encoding, ',');
    const std::string_view coding = TakePart(range, ';');
    int quality = kFullQuality;
    while (!range.empty()) {
      std::string_view value = TakePart(range, ';');
      if (SameIgnoringCase(TakePart(value, '='), "q")) quality = Quality(Trimmed(value));
    }
    if (quality > 0 && (SameIgnoringCase(coding, "gzip") || coding == "*")) return true;
  }
  return false;
}

std::string_view ContentType(ExpositionFormat format) noexcept {
  return format == ExpositionFormat::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                  : "text/plain; version=0.0.4; charset=utf-8";
}

}  // namespace reqtrail
