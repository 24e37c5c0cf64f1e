#pragma once

#include <cstddef>
#include <string_view>

#include "log_sinks/dropped_lines.h"

namespace reqtrail {

/// Writes whole lines to a file descriptor, which it neither owns nor changes. Each line is one write(2), so that with
/// O_APPEND the lines of several processes stay whole, and those of up to PIPE_BUF bytes do in a pipe.
///
/// A line that only began to fit is taken back from a regular file; elsewhere the next line starts on a line of its
/// own. A non-blocking descriptor is waited for 0.1 s, and not at all while nobody has read since. A signal ends the
/// wait for a blocking one: at once if nothing was written, else a second later. Not thread-safe.
class LineOutput {
 public:
  explicit LineOutput(int descriptor) noexcept : descriptor_(descriptor) {}

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  /// `line` ends with its '\n'. Also kInterrupted.
  [[nodiscard]] DropReason Write(std::string_view line) noexcept;

 private:
  [[nodiscard]] bool WaitUntilWritable(bool has_begun) noexcept;
  [[nodiscard]] DropReason GiveUp(int error, std::size_t written) noexcept;
  [[nodiscard]] bool TakeBack(std::size_t written) const noexcept;

  int descriptor_;
  bool torn_ = false;     ///< the last line written has no end
  bool stalled_ = false;  ///< waited in vain, and nothing was written since
};

}  // namespace reqtrail
