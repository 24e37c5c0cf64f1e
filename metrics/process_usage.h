#pragma once

#include <cstdint>
#include <optional>

namespace reqtrail {

/// What a process uses now, from /proc.
struct ProcessUsage {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double start_unix_seconds = 0;
  double open_fds = 0;
  double max_fds = 0;  ///< may be infinite
};

/// Nothing if the process has ended or belongs to somebody else.
[[nodiscard]] std::optional<ProcessUsage> UsageOf(std::uint32_t pid);

}  // namespace reqtrail
