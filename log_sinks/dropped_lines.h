#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace reqtrail {

/// Why a log line was not written. Add a name below when you add one here.
enum class DropReason : unsigned char {
  kNone = 0,           ///< it was written
  kDiskFull = 1,       ///< no space left, a quota, or a limit on the file's size
  kClosed = 2,         ///< the reader of the pipe went away, or the handler was closed
  kStalled = 3,        ///< a non-blocking pipe or socket that nobody reads from
  kQueueFull = 4,      ///< more lines than the asynchronous queue holds
  kExit = 5,           ///< still in the queue when the process ended
  kError = 6,          ///< anything else: an I/O error, no memory, a filter that raised
  kInterrupted = 255,  ///< no reason, and never counted: a signal came before anything was written; try again
};

inline constexpr std::array<std::string_view, 7> kDropReasonNames = {"",           "disk_full", "closed", "stalled",
                                                                     "queue_full", "exit",      "error"};

using DroppedLines = std::array<std::uint64_t, kDropReasonNames.size()>;

/// Counts lines that this process did not write; kNone is not counted. Lock-free, from any thread. A child starts at
/// none.
void CountDropped(DropReason reason, std::uint64_t lines = 1) noexcept;

/// By reason.
[[nodiscard]] DroppedLines DroppedSoFar() noexcept;

/// The sum over all reasons. One load, for a path that only wants to know whether there is anything new.
[[nodiscard]] std::uint64_t DroppedInAll() noexcept;

}  // namespace reqtrail
