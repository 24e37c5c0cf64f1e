#include "log_sinks/descriptor_sink.h"

#include <unistd.h>

#include <mutex>

namespace reqtrail {

DescriptorSink::~DescriptorSink() {
  if (ownership_ == Ownership::kOwned) close(output_.descriptor());
}

DropReason DescriptorSink::Write(std::string_view line) noexcept {
  const std::lock_guard guard(lock_);
  return output_.Write(line);
}

}  // namespace reqtrail
