#pragma once

#include "log_sinks/fork_safe_lock.h"
#include "log_sinks/line_output.h"
#include "log_sinks/line_sink.h"

namespace reqtrail {

/// Writes to a descriptor: standard output, standard error, a pipe, a socket.
class DescriptorSink final : public LineSink {
 public:
  enum class Ownership : unsigned char { kBorrowed, kOwned };

  /// One that is owned is closed with the sink.
  explicit DescriptorSink(int descriptor, Ownership ownership = Ownership::kBorrowed) noexcept
      : output_(descriptor), ownership_(ownership) {}
  DescriptorSink(const DescriptorSink&) = delete;
  DescriptorSink& operator=(const DescriptorSink&) = delete;
  ~DescriptorSink() override;

  [[nodiscard]] DropReason Write(std::string_view line) noexcept override;

 private:
  ForkSafeLock lock_;
  LineOutput output_;
  Ownership ownership_;
};

}  // namespace reqtrail
