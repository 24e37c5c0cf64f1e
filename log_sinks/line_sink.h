#pragma once

#include <spdlog/sinks/sink.h>

#include <chrono>
#include <memory>
#include <string_view>

#include "log_sinks/dropped_lines.h"

namespace reqtrail {

/// An spdlog sink for lines that are formatted already: the payload of a message is one line with its '\n', pattern and
/// formatter do not apply. Nothing throws and nothing is lost silently: a line is written whole, or counted
/// (dropped_lines.h). All methods may be called from any thread, and in children after fork; a fork never waits for a
/// sink.
class LineSink : public spdlog::sinks::sink {
 public:
  /// Writes `line`, or says why not. Blocks as long as the file, pipe or terminal does, or until a signal comes
  /// (kInterrupted).
  [[nodiscard]] virtual DropReason Write(std::string_view line) noexcept = 0;

  /// Writes what is queued, for up to this long. True when all of it was.
  virtual bool Drain(std::chrono::milliseconds /*patience*/) noexcept { return true; }

  /// Gives up the lines that are queued still, and counts them as kExit.
  virtual void Abandon() noexcept {}

  void log(const spdlog::details::log_msg& message) final {
    DropReason reason{};
    do {
      reason = Write({message.payload.data(), message.payload.size()});
    } while (reason == DropReason::kInterrupted);
    CountDropped(reason);
  }
  void flush() final { (void)Drain(std::chrono::seconds(5)); }
  void set_pattern(const std::string& /*pattern*/) final {}
  void set_formatter(std::unique_ptr<spdlog::formatter> /*formatter*/) final {}
};

}  // namespace reqtrail
