#include "metrics/process_token.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string_view>
#include <system_error>

#include "metrics/unique_fd.h"

namespace reqtrail {
namespace {

constexpr unsigned kPidShift = 40;
constexpr std::uint64_t kStartMask = (std::uint64_t{1} << kPidShift) - 1;

struct ProcessStat {
  char state = '?';
  std::uint64_t start = 0;  // clock ticks after the host's start
};

std::optional<ProcessStat> StatOf(std::uint32_t pid) noexcept {
  constexpr int kFieldsToStart = 19;  // from the state on
  std::array<char, 32> path{};
  (void)std::snprintf(path.data(), path.size(), "/proc/%u/stat", pid);
  const UniqueFd fd(::open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> content{};
  const ssize_t bytes = fd ? ::read(fd.get(), content.data(), content.size()) : -1;
  if (bytes <= 0) return std::nullopt;
  std::string_view text(content.data(), static_cast<std::size_t>(bytes));
  const std::size_t name_end = text.rfind(')');  // the name may hold anything, brackets and spaces too
  if (name_end == std::string_view::npos || name_end + 2 >= text.size()) return std::nullopt;
  text.remove_prefix(name_end + 2);
  ProcessStat stat{.state = text[0]};
  for (int field = 0; field < kFieldsToStart; ++field) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    text.remove_prefix(space + 1);
  }
  if (std::from_chars(text.data(), text.data() + text.size(), stat.start).ec != std::errc()) return std::nullopt;
  return stat;
}

ProcessToken TokenOf(std::uint32_t pid, std::uint64_t start) noexcept {
  return (std::uint64_t{pid} << kPidShift) | (start & kStartMask);
}

void ForgetOwnToken() noexcept { internal::own_process_token.store(0, std::memory_order_relaxed); }

}  // namespace

bool IsAlive(ProcessToken token) noexcept {
  const std::uint32_t pid = PidOf(token);
  if (pid == 0) return false;
  if (::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) return false;
  const std::optional<ProcessStat> stat = StatOf(pid);
  if (!stat) return ::kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH;
  return stat->state != 'Z' && stat->state != 'X' && TokenOf(pid, stat->start) == token;
}

ProcessToken internal::FindOwnProcessToken() noexcept {
  [[maybe_unused]] static const int registered = ::pthread_atfork(nullptr, nullptr, &ForgetOwnToken);
  const auto pid = static_cast<std::uint32_t>(::getpid());
  const std::optional<ProcessStat> stat = StatOf(pid);
  const ProcessToken token = TokenOf(pid, stat ? stat->start : 0);
  own_process_token.store(token, std::memory_order_relaxed);
  return token;
}

}  // namespace reqtrail
