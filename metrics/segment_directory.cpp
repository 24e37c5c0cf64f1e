#include "metrics/segment_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace reqtrail {
namespace {

constexpr mode_t kPrivateDirectory = S_IRWXU;

MetricsError Unsafe(const std::string& path, const char* why) {
  return {.fault = MetricsFault::kUnsafe, .message = path + " is not safe for metrics: " + why};
}

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read-only, as getenv is used everywhere
  return value == nullptr ? "" : value;
}

std::string DefaultPath() {
  constexpr const char* kSharedMemory = "/dev/shm";
  std::string base = kSharedMemory;
  if (::access(kSharedMemory, W_OK | X_OK) != 0) {
    base = FromEnvironment("TMPDIR");
    if (base.empty()) base = "/tmp";
  }
  return base + "/reqtrail-" + std::to_string(::geteuid());
}

Result<SegmentDirectory> OpenDirectory(const std::string& path, int extra_flags, struct stat& status) {
  if (::mkdir(path.c_str(), kPrivateDirectory) != 0 && errno != EEXIST) {
    return SystemError("cannot make the metrics directory " + path, errno);
  }
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | extra_flags));
  if (!fd) {
    if (errno == ELOOP || errno == ENOTDIR) return Unsafe(path, "it is a symbolic link or no directory");
    return SystemError("cannot open the metrics directory " + path, errno);
  }
  if (::fstat(fd.get(), &status) != 0) return SystemError("cannot examine the metrics directory " + path, errno);
  return SegmentDirectory{.fd = std::move(fd), .path = path};
}

}  // namespace

Result<SegmentDirectory> OpenPrivateDirectory(const std::string& path) {
  struct stat status = {};
  Result<SegmentDirectory> directory = OpenDirectory(path, O_NOFOLLOW, status);
  if (!directory.ok()) return directory;
  if (status.st_uid != ::geteuid()) return Unsafe(path, "it belongs to another user");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) return Unsafe(path, "its mode is not 0700");
  return directory;
}

Result<SegmentDirectory> OpenSegmentDirectory(const std::string& directory) {
  const std::string path = directory.empty() ? FromEnvironment("REQTRAIL_METRICS_DIR") : directory;
  if (path.empty()) return OpenPrivateDirectory(DefaultPath());
  struct stat status = {};
  Result<SegmentDirectory> given = OpenDirectory(path, 0, status);
  if (!given.ok()) return given;
  if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0)
    return Unsafe(path, "everybody may write to it");
  return given;
}

}  // namespace reqtrail
