#include "log_sinks/line_output.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace reqtrail {
namespace {

constexpr int kPatienceMs = 100;
constexpr int kPatienceInALineMs = 1000;  // half a line is worse than a pause

DropReason ReasonOf(int error) noexcept {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return DropReason::kDiskFull;
    case EPIPE:
    case ECONNRESET:
    case EBADF: return DropReason::kClosed;
    case EAGAIN: return DropReason::kStalled;
    default: return DropReason::kError;
  }
}

}  // namespace

DropReason LineOutput::Write(std::string_view line) noexcept {
  if (torn_) {
    if (write(descriptor_, "\n", 1) != 1) return ReasonOf(errno);
    torn_ = false;
  }
  std::size_t written = 0;
  while (written < line.size()) {
    const ssize_t bytes = write(descriptor_, line.data() + written, line.size() - written);
    if (bytes > 0) {
      written += static_cast<std::size_t>(bytes);
      stalled_ = false;
    } else if (bytes == 0) {
      return GiveUp(EIO, written);
    } else if (errno == EINTR && written == 0) {
      return DropReason::kInterrupted;
    } else if ((errno != EINTR && errno != EAGAIN) || !WaitUntilWritable(written > 0)) {
      return GiveUp(errno, written);
    }
  }
  return DropReason::kNone;
}

bool LineOutput::WaitUntilWritable(bool has_begun) noexcept {
  if (stalled_) return false;
  pollfd wanted = {.fd = descriptor_, .events = POLLOUT, .revents = 0};
  const bool writable = poll(&wanted, 1, has_begun ? kPatienceInALineMs : kPatienceMs) > 0;
  stalled_ = !writable;
  errno = EAGAIN;
  return writable;
}

DropReason LineOutput::GiveUp(int error, std::size_t written) noexcept {
  torn_ = written > 0 && !TakeBack(written);
  return ReasonOf(error);
}

bool LineOutput::TakeBack(std::size_t written) const noexcept {
  const off_t end = lseek(descriptor_, 0, SEEK_CUR);
  struct stat file{};
  if (end < 0 || fstat(descriptor_, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size != end) return false;
  const off_t start = end - static_cast<off_t>(written);
  return ftruncate(descriptor_, start) == 0 && lseek(descriptor_, start, SEEK_SET) == start;
}

}  // namespace reqtrail
