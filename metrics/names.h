#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace reqtrail {

/// Whether `name` is a metric name: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
[[nodiscard]] bool IsMetricName(std::string_view name) noexcept;

/// Whether `name` is a label name: `[a-zA-Z_][a-zA-Z0-9_]*`, without a leading `__`, which Prometheus keeps for itself.
[[nodiscard]] bool IsLabelName(std::string_view name) noexcept;

/// Whether `service` can be a segment's file name: 1 to 100 of `[A-Za-z0-9._-]`, not starting with a dot.
[[nodiscard]] bool IsServiceName(std::string_view service) noexcept;

/// What is wrong with these label names of a family, as one sentence; nothing if they are fine. `reserved` is the name
/// that the family's type keeps for itself ("le" for histograms), or "".
[[nodiscard]] std::optional<std::string> LabelNamesFault(std::span<const std::string_view> names,
                                                         std::string_view reserved);

/// What is wrong with these upper bounds of a histogram; nothing if they are fine: at least one, finite, ascending.
[[nodiscard]] std::optional<std::string> BoundsFault(std::span<const double> bounds);

}  // namespace reqtrail
