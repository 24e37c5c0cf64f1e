#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "log_sinks/fork_safe_lock.h"
#include "log_sinks/line_output.h"
#include "log_sinks/line_sink.h"

namespace reqtrail {

struct FileSinkOptions {
  std::string path;
  /// Over this size the file is renamed to <path>.1, and so on up to <path>.<backups>. 0: never.
  std::uint64_t max_bytes = 0;
  std::uint32_t backups = 1;
};

/// Appends to a file that any number of processes append to. Within a second it notices that somebody renamed or
/// deleted the file (logrotate), and opens the path anew. Rotation by size is done by one of the processes; a line of
/// another one may still go to the renamed file. A file that cannot be renamed or opened anew goes on being used.
class FileSink final : public LineSink {
 public:
  explicit FileSink(FileSinkOptions options) : options_(std::move(options)) {}
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;
  ~FileSink() override;

  /// Opens the file, which is made if need be. 0, or an errno. To be called once, before Write.
  [[nodiscard]] int Open() noexcept;

  [[nodiscard]] DropReason Write(std::string_view line) noexcept override;

 private:
  [[nodiscard]] bool IsStillAtPath() const noexcept;
  void Rotate(std::size_t bytes) noexcept;
  [[nodiscard]] bool ShiftBackups() noexcept;
  [[nodiscard]] std::string Backup(std::uint32_t number) const;

  FileSinkOptions options_;
  ForkSafeLock lock_;
  LineOutput output_{-1};
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool is_regular_ = false;
  std::uint64_t end_ = 0;              ///< the file's size after our last line
  std::int64_t look_at_second_ = 0;    ///< when to look at the path again
  std::int64_t rotate_at_second_ = 0;  ///< not before: it failed
};

}  // namespace reqtrail
