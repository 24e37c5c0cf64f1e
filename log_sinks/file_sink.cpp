#include "log_sinks/file_sink.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <mutex>

namespace reqtrail {
namespace {

constexpr mode_t kMode = 0644;
constexpr std::int64_t kSecondsUntilNextTry = 60;

std::int64_t NowSeconds() noexcept {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec;
}

}  // namespace

FileSink::~FileSink() {
  if (output_.descriptor() >= 0) close(output_.descriptor());
}

int FileSink::Open() noexcept {
  const int descriptor = open(options_.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, kMode);
  if (descriptor < 0) return errno;
  struct stat file{};
  if (fstat(descriptor, &file) != 0) {
    const int error = errno;
    close(descriptor);
    return error;
  }
  // In this order, so that a child forked in between does not have the number of a closed one.
  const int former = output_.descriptor();
  output_ = LineOutput(descriptor);
  if (former >= 0) close(former);
  device_ = file.st_dev;
  inode_ = file.st_ino;
  is_regular_ = S_ISREG(file.st_mode);
  end_ = static_cast<std::uint64_t>(file.st_size);
  look_at_second_ = NowSeconds() + 1;
  return 0;
}

DropReason FileSink::Write(std::string_view line) noexcept {
  const std::lock_guard guard(lock_);
  if (is_regular_) {
    if (const std::int64_t now = NowSeconds(); now >= look_at_second_) {
      look_at_second_ = now + 1;
      if (!IsStillAtPath()) (void)Open();
    }
    if (options_.max_bytes > 0 && end_ > 0 && end_ + line.size() > options_.max_bytes) Rotate(line.size());
  }
  const DropReason reason = output_.Write(line);
  if (options_.max_bytes > 0 && is_regular_) {
    const off_t end = lseek(output_.descriptor(), 0, SEEK_CUR);
    if (end >= 0) end_ = static_cast<std::uint64_t>(end);
  }
  return reason;
}

bool FileSink::IsStillAtPath() const noexcept {
  struct stat file{};
  return stat(options_.path.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_;
}

void FileSink::Rotate(std::size_t bytes) noexcept {
  if (NowSeconds() < rotate_at_second_) return;
  // Opened anew, because a lock on a descriptor that was inherited over a fork is shared with the parent.
  const int locked = open(options_.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  // Who does not get the lock leaves the rotation to the one who has it.
  if (locked >= 0 && flock(locked, LOCK_EX | LOCK_NB) == 0) {
    struct stat held{};
    struct stat at_path{};
    const bool is_current = fstat(locked, &held) == 0 && stat(options_.path.c_str(), &at_path) == 0 &&
                            held.st_ino == at_path.st_ino && held.st_dev == at_path.st_dev;
    const bool is_full = static_cast<std::uint64_t>(held.st_size) + bytes > options_.max_bytes && held.st_size > 0;
    if (is_current && is_full && !ShiftBackups()) rotate_at_second_ = NowSeconds() + kSecondsUntilNextTry;
    if (!IsStillAtPath()) (void)Open();
  }
  if (locked >= 0) close(locked);
}

bool FileSink::ShiftBackups() noexcept {
  try {
    std::uint32_t last = 1;  // the first number that is free, or the one that gives way
    while (last < options_.backups && access(Backup(last).c_str(), F_OK) == 0) ++last;
    for (; last > 1; --last) (void)std::rename(Backup(last - 1).c_str(), Backup(last).c_str());
    return std::rename(options_.path.c_str(), Backup(1).c_str()) == 0;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

std::string FileSink::Backup(std::uint32_t number) const { return options_.path + "." + std::to_string(number); }

}  // namespace reqtrail
