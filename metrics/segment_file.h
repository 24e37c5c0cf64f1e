#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "metrics/layout.h"
#include "metrics/result.h"
#include "metrics/unique_fd.h"

namespace reqtrail {

struct SegmentOptions {
  /// The file is `<directory>/<service>.metrics`; processes that name the same two share it.
  std::string service = "reqtrail";

  /// Empty: the environment's REQTRAIL_METRICS_DIR, else a private `reqtrail-<uid>` in /dev/shm or, without that, in
  /// the folder for temporary files. A directory that is missing is made (mode 0700), its parents are not.
  std::string directory;

  /// Address space and size of the (sparse) file; storage is reserved as series are registered. Both limits count when
  /// a segment is made: who joins one takes it as it is.
  std::uint64_t capacity_bytes = 64UL * 1024 * 1024;
  std::uint64_t max_series = 10000;

  /// How long the storage of a removed series rests before a new one gets it: longer than any thread takes from looking
  /// a series up to counting in it, and any scrape.
  std::chrono::nanoseconds rest_of_removed = std::chrono::seconds(30);
};

/// The mapped file of a segment. Opening it joins the processes that use it now, or starts it afresh when none is
/// alive.
///
/// Liveness: the file's open description holds a shared flock, which children inherit over fork and which the kernel
/// drops with the last process, however that ends. Whoever can take it exclusively is alone. The decision is made under
/// a second file, `<service>.lock`, held exclusively while a segment is opened. A file that is not a segment of this
/// version is renamed to `<service>.metrics.bad-<seconds>` (the newest such file is kept) and counted in the new one.
///
/// Safety: the file, and the default directory, must belong to the effective user and be no symbolic link; others must
/// not be able to write to the directory (a sticky one may be given explicitly).
class SegmentFile {
 public:
  static Result<SegmentFile> Open(const SegmentOptions& options);

  SegmentFile(SegmentFile&& other) noexcept;
  SegmentFile& operator=(SegmentFile&& other) noexcept;
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;
  ~SegmentFile();

  /// Reserves storage for all bytes before `end`, which must not exceed the capacity. 0, or an errno such as ENOSPC:
  /// without it, a write to the mapping on a full disk would end the process by SIGBUS. Any thread and process.
  [[nodiscard]] int Claim(std::uint64_t end) const noexcept;

  [[nodiscard]] std::byte* At(std::uint64_t offset) const noexcept { return base_ + offset; }
  [[nodiscard]] SegmentHeader& header() const noexcept { return *reinterpret_cast<SegmentHeader*>(base_); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }

 private:
  SegmentFile(UniqueFd fd, std::byte* base, std::uint64_t capacity, std::string path) noexcept;

  UniqueFd fd_;
  std::byte* base_ = nullptr;
  std::uint64_t capacity_ = 0;
  std::string path_;

  friend class SegmentOpener;
};

}  // namespace reqtrail
