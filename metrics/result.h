#pragma once

#include <string>
#include <system_error>
#include <utility>
#include <variant>

namespace reqtrail {

/// Why an operation of the metrics segment was refused.
enum class MetricsFault : unsigned char {
  kInvalid,   ///< an argument breaks a rule: a bad name, unsorted buckets, a service name that is no file name
  kConflict,  ///< the family exists with another type, other labels or other buckets
  kUnsafe,    ///< a directory or file belongs to somebody else, is a symbolic link, or others may write to it
  kSystem,    ///< the operating system refused; `os_error` is its errno
  kFull,      ///< the segment's capacity is used up
};

struct MetricsError {
  MetricsFault fault = MetricsFault::kSystem;
  int os_error = 0;     ///< errno, or 0 where the operating system was not asked
  std::string message;  ///< one line for a person; it names the file or the metric
};

/// What the operating system refused, with its word for `os_error`, an errno.
[[nodiscard]] inline MetricsError SystemError(const std::string& what, int os_error) {
  return {.fault = MetricsFault::kSystem,
          .os_error = os_error,
          .message = what + ": " + std::generic_category().message(os_error)};
}

/// A T, or the reason why there is none. Asking for the side that is not there throws std::bad_variant_access.
template <typename T>
class Result {
 public:
  Result(T value) : outcome_(std::move(value)) {}  // NOLINT(google-explicit-constructor): return a T as it is
  Result(MetricsError error) : outcome_(std::move(error)) {}  // NOLINT(google-explicit-constructor): the same

  [[nodiscard]] bool ok() const noexcept { return std::holds_alternative<T>(outcome_); }
  [[nodiscard]] T& value() & { return std::get<T>(outcome_); }
  [[nodiscard]] const T& value() const& { return std::get<T>(outcome_); }
  [[nodiscard]] T&& value() && { return std::get<T>(std::move(outcome_)); }
  [[nodiscard]] const MetricsError& error() const { return std::get<MetricsError>(outcome_); }

 private:
  std::variant<T, MetricsError> outcome_;
};

}  // namespace reqtrail
