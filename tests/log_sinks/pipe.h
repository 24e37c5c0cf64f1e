#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

namespace reqtrail {

/// A pipe with 4 KiB of room, non-blocking at both ends.
class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_.data(), O_NONBLOCK | O_CLOEXEC) == 0) (void)fcntl(ends_[1], F_SETPIPE_SZ, 4096);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    CloseReader();
    close(ends_[1]);
  }

  [[nodiscard]] int writer() const { return ends_[1]; }

  void BlockWriter() const { (void)fcntl(ends_[1], F_SETFL, O_WRONLY); }

  void CloseReader() {
    if (ends_[0] >= 0) close(ends_[0]);
    ends_[0] = -1;
  }

  /// All that is in it now.
  [[nodiscard]] std::string Read() const {
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t size = 0; (size = read(ends_[0], part.data(), part.size())) > 0;) {
      text.append(part.data(), static_cast<std::size_t>(size));
    }
    return text;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

}  // namespace reqtrail
