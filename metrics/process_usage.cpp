#include "metrics/process_usage.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "metrics/unique_fd.h"

namespace reqtrail {
namespace {

// Numbers of the fields in /proc/<pid>/stat, counted from the state, which is behind the name.
constexpr std::size_t kUserTicks = 11;
constexpr std::size_t kSystemTicks = 12;
constexpr std::size_t kStartTicks = 19;
constexpr std::size_t kVirtualBytes = 20;
constexpr std::size_t kResidentPages = 21;

std::string ReadAll(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string content;
  std::array<char, 4096> part{};
  for (ssize_t bytes = 1; fd && bytes > 0;) {
    bytes = ::read(fd.get(), part.data(), part.size());
    if (bytes > 0) content.append(part.data(), static_cast<std::size_t>(bytes));
  }
  return content;
}

double NumberOf(std::string_view text) noexcept {
  double number = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// What stands behind `key` in a file of lines; "" if nothing does.
std::string_view Behind(std::string_view text, std::string_view key) noexcept {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + key.size());
  text = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return text;
}

double OpenFds(const std::string& folder) {
  struct stat status = {};
  const std::string path = folder + "/fd";
  // Since Linux 6.2 the directory's size is their number.
  if (::stat(path.c_str(), &status) == 0 && status.st_size > 0) return static_cast<double>(status.st_size);
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator entry(path, error); !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    ++count;
  }
  return count;
}

double MaxFds(std::uint32_t pid) noexcept {
  rlimit limit{};
  if (::prlimit(static_cast<pid_t>(pid), RLIMIT_NOFILE, nullptr, &limit) != 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity()
                                         : static_cast<double>(limit.rlim_cur);
}

double BootTime() {
  static const double boot_time = NumberOf(Behind(ReadAll("/proc/stat"), "\nbtime "));
  return boot_time;
}

}  // namespace

std::optional<ProcessUsage> UsageOf(std::uint32_t pid) {
  static const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  static const auto page_bytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
  const std::string folder = "/proc/" + std::to_string(pid);
  const std::string stat = ReadAll(folder + "/stat");
  const std::size_t name_end = stat.rfind(')');  // the name may hold anything, brackets and spaces too
  if (name_end == std::string::npos || ::access((folder + "/fd").c_str(), R_OK) != 0) return std::nullopt;
  const std::vector<std::string_view> fields = Words(std::string_view(stat).substr(name_end + 1));
  if (fields.size() <= kResidentPages) return std::nullopt;
  return ProcessUsage{.cpu_seconds = (NumberOf(fields[kUserTicks]) + NumberOf(fields[kSystemTicks])) / ticks,
                      .resident_bytes = NumberOf(fields[kResidentPages]) * page_bytes,
                      .virtual_bytes = NumberOf(fields[kVirtualBytes]),
                      .start_unix_seconds = BootTime() + (NumberOf(fields[kStartTicks]) / ticks),
                      .open_fds = OpenFds(folder),
                      .max_fds = MaxFds(pid)};
}

}  // namespace reqtrail
