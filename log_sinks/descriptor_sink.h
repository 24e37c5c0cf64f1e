#pragma once

#include "log_sinks/fork_safe_lock.h"
#include "log_sinks/line_output.h"
#include "log_sinks/line_sink.h"

namespace reqtrail {

/// Writes to a descriptor that others own: standard output, standard error, a pipe, a socket.
class DescriptorSink final : public LineSink {
 public:
  explicit DescriptorSink(int descriptor) noexcept : output_(descriptor) {}

  [[nodiscard]] DropReason Write(std::string_view line) noexcept override;

 private:
  ForkSafeLock lock_;
  LineOutput output_;
};

}  // namespace reqtrail
