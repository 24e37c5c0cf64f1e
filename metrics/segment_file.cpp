#include "metrics/segment_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "metrics/entries.h"
#include "metrics/names.h"
#include "metrics/segment_directory.h"
#include "metrics/set_aside.h"
#include "metrics/unique_fd.h"

namespace reqtrail {
namespace {

constexpr mode_t kPrivateFile = S_IRUSR | S_IWUSR;
constexpr int kOpenFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
constexpr std::uint64_t kMaxSeries = 10'000'000;
constexpr std::uint64_t kMaxCapacity = kEntryAlign << 32U;  // what a slot of the table can address
constexpr auto kLockPatience = std::chrono::seconds(10);
constexpr auto kLockPause = std::chrono::milliseconds(1);

std::uint64_t Checksum(const SegmentConstants& constants) noexcept {
  TextHash hash(kSegmentVersion);
  hash.Add(std::string_view(reinterpret_cast<const char*>(&constants), offsetof(SegmentConstants, check)));
  return hash.Finish();
}

int Reserve(int fd, std::uint64_t from, std::uint64_t to) noexcept {
  for (;;) {
    if (::fallocate(fd, 0, static_cast<off_t>(from), static_cast<off_t>(to - from)) == 0) return 0;
    if (errno != EINTR) return errno;
  }
}

// Holds the lock file for as long as it lives. Children inherit the descriptor over fork, so that closing it would not
// let go: the destructor unlocks it.
class OpeningLock {
 public:
  explicit OpeningLock(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
  OpeningLock(OpeningLock&&) noexcept = default;
  OpeningLock& operator=(OpeningLock&&) = delete;
  OpeningLock(const OpeningLock&) = delete;
  OpeningLock& operator=(const OpeningLock&) = delete;
  ~OpeningLock() {
    if (fd_) ::flock(fd_.get(), LOCK_UN);
  }

 private:
  UniqueFd fd_;
};

SegmentConstants NewConstants(const SegmentOptions& options, std::uint64_t set_aside) noexcept {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  SegmentConstants constants{};
  constants.magic = kSegmentMagic;
  constants.version = kSegmentVersion;
  constants.header_bytes = sizeof(SegmentHeader);
  constants.capacity = options.capacity_bytes;
  constants.table_offset = sizeof(SegmentHeader);
  constants.table_slots = std::bit_ceil(2 * (options.max_series + kMaxFamilies));
  constants.heap_offset =
      AlignUp(constants.table_offset + (constants.table_slots * sizeof(std::uint64_t)), kEntryAlign);
  constants.created_unix_ns =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  constants.max_series = options.max_series;
  constants.set_aside = set_aside;
  constants.hash_seed = constants.created_unix_ns;
  (void)::getrandom(&constants.hash_seed, sizeof(constants.hash_seed), GRND_NONBLOCK);
  constants.check = Checksum(constants);
  return constants;
}

bool IsUsable(const SegmentConstants& constants, std::uint64_t file_bytes) noexcept {
  return constants.magic == kSegmentMagic && constants.version == kSegmentVersion &&
         constants.header_bytes == sizeof(SegmentHeader) && constants.check == Checksum(constants) &&
         constants.capacity == file_bytes && constants.table_offset == sizeof(SegmentHeader) &&
         std::has_single_bit(constants.table_slots) && constants.table_slots <= std::bit_ceil(4 * kMaxSeries) &&
         constants.heap_offset >= constants.table_offset + (constants.table_slots * sizeof(std::uint64_t)) &&
         constants.heap_offset <= constants.capacity && constants.heap_offset % kEntryAlign == 0;
}

}  // namespace

// One attempt to open a segment; its members are what the steps hand on.
class SegmentOpener {
 public:
  SegmentOpener(const SegmentOptions& options, SegmentDirectory directory)
      : options_(options),
        directory_(std::move(directory)),
        name_(options.service + ".metrics"),
        path_(directory_.path + "/" + name_) {}

  Result<SegmentFile> Run() {
    const Result<OpeningLock> lock = Lock();
    if (!lock.ok()) return lock.error();
    UniqueFd fd(::openat(directory_.fd.get(), name_.c_str(), kOpenFlags));
    if (!fd) return errno == ENOENT ? Create(0) : Result<SegmentFile>(OpenError(path_));
    if (auto error = CheckOwner(fd, path_)) return *error;

    const bool is_alone = ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
    const std::optional<std::uint64_t> capacity = UsableCapacity(fd);
    if (!capacity) {
      if (const int os_error = SetAside(directory_.fd.get(), name_)) {
        return SystemError("cannot set the unusable metrics file aside: " + path_, os_error);
      }
      return Create(1);
    }
    if (is_alone) return Create(0);
    if (::flock(fd.get(), LOCK_SH | LOCK_NB) != 0) return SystemError("cannot join " + path_, errno);
    return Map(std::move(fd), *capacity);
  }

 private:
  static MetricsError OpenError(const std::string& path) {
    if (errno != ELOOP) return SystemError("cannot open " + path, errno);
    return {.fault = MetricsFault::kUnsafe, .message = path + " is a symbolic link"};
  }

  static std::optional<MetricsError> CheckOwner(const UniqueFd& fd, const std::string& path) {
    struct stat status = {};
    if (::fstat(fd.get(), &status) != 0) return SystemError("cannot examine " + path, errno);
    const char* why = nullptr;
    if (!S_ISREG(status.st_mode)) why = " is no regular file";
    if (status.st_uid != ::geteuid()) why = " belongs to another user";
    if (status.st_nlink > 1) why = " has more than one name";
    if (why == nullptr) return std::nullopt;
    return MetricsError{.fault = MetricsFault::kUnsafe, .message = path + why};
  }

  Result<OpeningLock> Lock() {
    const std::string name = options_.service + ".lock";
    const std::string path = directory_.path + "/" + name;
    UniqueFd fd(::openat(directory_.fd.get(), name.c_str(), kOpenFlags | O_CREAT, kPrivateFile));
    if (!fd) return OpenError(path);
    if (auto error = CheckOwner(fd, path)) return *error;
    const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return SystemError("cannot lock " + path, errno);
      if (std::chrono::steady_clock::now() > deadline)
        return SystemError("somebody keeps " + path + " locked", ETIMEDOUT);
      std::this_thread::sleep_for(kLockPause);
    }
    return OpeningLock(std::move(fd));
  }

  // By pread, not through a mapping: the file may be shorter than its header says.
  static std::optional<std::uint64_t> UsableCapacity(const UniqueFd& fd) noexcept {
    struct stat status = {};
    SegmentConstants constants{};
    if (::fstat(fd.get(), &status) != 0 ||
        ::pread(fd.get(), &constants, sizeof(constants), 0) != static_cast<ssize_t>(sizeof(constants)) ||
        !IsUsable(constants, static_cast<std::uint64_t>(status.st_size))) {
      return std::nullopt;
    }
    return constants.capacity;
  }

  // The new file gets its name when it is complete: a process killed before that leaves the old state.
  Result<SegmentFile> Create(std::uint64_t set_aside) {
    const std::string unfinished = name_ + ".new";
    const int directory = directory_.fd.get();
    ::unlinkat(directory, unfinished.c_str(), 0);
    UniqueFd fd(::openat(directory, unfinished.c_str(), kOpenFlags | O_CREAT | O_EXCL, kPrivateFile));
    if (!fd) return SystemError("cannot make " + path_, errno);
    Result<SegmentFile> file = Fill(std::move(fd), set_aside);
    if (file.ok() && ::renameat(directory, unfinished.c_str(), directory, name_.c_str()) != 0) {
      file = SystemError("cannot make " + path_, errno);
    }
    if (!file.ok()) ::unlinkat(directory, unfinished.c_str(), 0);
    return file;
  }

  Result<SegmentFile> Fill(UniqueFd fd, std::uint64_t set_aside) {
    const SegmentConstants constants = NewConstants(options_, set_aside);
    const std::uint64_t claimed = std::min(AlignUp(constants.heap_offset + 1, kClaimBytes), constants.capacity);
    if (::ftruncate(fd.get(), static_cast<off_t>(constants.capacity)) != 0) {
      return SystemError("cannot give " + path_ + " its size", errno);
    }
    if (const int os_error = Reserve(fd.get(), 0, claimed)) {
      return SystemError("cannot reserve storage for " + path_, os_error);
    }
    if (::flock(fd.get(), LOCK_SH | LOCK_NB) != 0) return SystemError("cannot lock " + path_, errno);
    Result<SegmentFile> file = Map(std::move(fd), constants.capacity);
    if (!file.ok()) return file;
    SegmentHeader& header = file.value().header();
    header.constants = constants;
    header.last_life.store(kDefaultLife, std::memory_order_relaxed);
    header.next_free.store(constants.heap_offset, std::memory_order_relaxed);
    header.claimed.store(claimed, std::memory_order_release);
    return file;
  }

  Result<SegmentFile> Map(UniqueFd fd, std::uint64_t capacity) const {
    void* base = ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (base == MAP_FAILED) return SystemError("cannot map " + path_, errno);
    return SegmentFile(std::move(fd), static_cast<std::byte*>(base), capacity, path_);
  }

  const SegmentOptions& options_;
  SegmentDirectory directory_;
  std::string name_;
  std::string path_;
};

Result<SegmentFile> SegmentFile::Open(const SegmentOptions& options) {
  const auto invalid = [](std::string message) {
    return MetricsError{.fault = MetricsFault::kInvalid, .message = std::move(message)};
  };
  if (!IsServiceName(options.service)) {
    return invalid("Invalid service name (1 to 100 of A-Z, a-z, 0-9, dot, underscore and hyphen; no leading dot): " +
                   options.service);
  }
  if (options.max_series == 0 || options.max_series > kMaxSeries) return invalid("max_series is not in 1..10000000");
  if (options.capacity_bytes > kMaxCapacity || options.capacity_bytes % kClaimBytes != 0 ||
      options.capacity_bytes < NewConstants(options, 0).heap_offset + kClaimBytes) {
    return invalid("capacity_bytes is not a multiple of 262144, or too small for max_series");
  }
  Result<SegmentDirectory> directory = OpenSegmentDirectory(options.directory);
  if (!directory.ok()) return directory.error();
  return SegmentOpener(options, std::move(directory).value()).Run();
}

SegmentFile::SegmentFile(UniqueFd fd, std::byte* base, std::uint64_t capacity, std::string path) noexcept
    : fd_(std::move(fd)), base_(base), capacity_(capacity), path_(std::move(path)) {}

SegmentFile::SegmentFile(SegmentFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      base_(std::exchange(other.base_, nullptr)),
      capacity_(other.capacity_),
      path_(std::move(other.path_)) {}

SegmentFile& SegmentFile::operator=(SegmentFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(base_, other.base_);
  std::swap(capacity_, other.capacity_);
  std::swap(path_, other.path_);
  return *this;
}

SegmentFile::~SegmentFile() {
  if (base_ != nullptr) ::munmap(base_, capacity_);
}

int SegmentFile::Claim(std::uint64_t end) const noexcept {
  std::atomic<std::uint64_t>& claimed = header().claimed;
  std::uint64_t seen = claimed.load(std::memory_order_acquire);
  if (end <= seen) return 0;
  const std::uint64_t upto = std::min(AlignUp(end, kClaimBytes), capacity_);
  if (const int os_error = Reserve(fd_.get(), seen, upto)) return os_error;
  while (seen < upto && !claimed.compare_exchange_weak(seen, upto, std::memory_order_acq_rel)) {
  }
  return 0;
}

}  // namespace reqtrail
