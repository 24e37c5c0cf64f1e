#include "metrics/names.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace reqtrail {
namespace {

constexpr std::size_t kServiceNameMaxBytes = 100;

constexpr bool IsLetter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool IsDigit(char c) noexcept { return c >= '0' && c <= '9'; }

// The characters of label names, as a table: names of exemplars are checked whenever something is counted with one.
constexpr auto kIsOfLabelName = [] {
  std::array<bool, 256> is{};
  for (std::size_t c = 0; c < is.size(); ++c) is[c] = IsLetter(static_cast<char>(c)) || IsDigit(static_cast<char>(c));
  return is;
}();

std::string Fault(std::string_view what, std::string_view name) {
  std::string fault(what);
  fault.append(": '").append(name).append("'");
  return fault;
}

}  // namespace

bool IsMetricName(std::string_view name) noexcept {
  if (name.empty() || IsDigit(name.front())) return false;
  return std::ranges::all_of(name, [](char c) { return IsLetter(c) || IsDigit(c) || c == ':'; });
}

bool IsLabelName(std::string_view name) noexcept {
  if (name.empty() || IsDigit(name.front()) || name.starts_with("__")) return false;
  return std::ranges::all_of(name, [](char c) { return kIsOfLabelName[static_cast<unsigned char>(c)]; });
}

bool IsServiceName(std::string_view service) noexcept {
  if (service.empty() || service.size() > kServiceNameMaxBytes || service.front() == '.') return false;
  return std::ranges::all_of(service, [](char c) { return IsLetter(c) || IsDigit(c) || c == '.' || c == '-'; });
}

std::optional<std::string> LabelNamesFault(std::span<const std::string_view> names, std::string_view reserved) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string_view name = names[i];
    if (name.starts_with("__") || (!reserved.empty() && name == reserved)) {
      return Fault("Reserved label metric name", name);
    }
    if (!IsLabelName(name)) return Fault("Invalid label metric name", name);
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), name) !=
        names.begin() + static_cast<std::ptrdiff_t>(i)) {
      return Fault("Duplicate label metric name", name);
    }
  }
  return std::nullopt;
}

std::optional<std::string> BoundsFault(std::span<const double> bounds) {
  if (bounds.empty()) return "Must have at least two buckets";
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (!std::isfinite(bounds[i])) return "Buckets must be finite numbers, but for a last +Inf";
    if (i > 0 && !(bounds[i - 1] < bounds[i])) return "Buckets not in sorted order";
  }
  return std::nullopt;
}

}  // namespace reqtrail
