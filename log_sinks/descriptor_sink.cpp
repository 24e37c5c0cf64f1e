#include "log_sinks/descriptor_sink.h"

#include <mutex>

namespace reqtrail {

DropReason DescriptorSink::Write(std::string_view line) noexcept {
  const std::lock_guard guard(lock_);
  return output_.Write(line);
}

}  // namespace reqtrail
