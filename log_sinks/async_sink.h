#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "log_sinks/fork_safe_lock.h"
#include "log_sinks/line_sink.h"

namespace reqtrail {

/// What happens to a line for which the queue has no room.
enum class Overflow : unsigned char {
  kDropOldest,  ///< the line that waits longest gives way
  kDropNewest,  ///< it is not queued
  kBlock,       ///< it waits for room
};

/// Queues lines for another sink, to which the process's one logging thread writes them. The thread serves all sinks in
/// turn, starts with the first line, and has every signal blocked. A queue has room for `capacity` lines and 64 MiB.
/// After a fork the parent's lines stay with the parent, and the child starts an empty queue and a thread of its own.
class AsyncSink final : public LineSink {
 public:
  struct Channel;

  AsyncSink(std::shared_ptr<LineSink> inner, std::size_t capacity, Overflow overflow);
  AsyncSink(const AsyncSink&) = delete;
  AsyncSink& operator=(const AsyncSink&) = delete;
  /// What is still queued goes on being written.
  ~AsyncSink() override;

  /// kQueueFull, or kNone: what becomes of the line afterwards is counted by the thread. Blocks with kBlock only.
  [[nodiscard]] DropReason Write(std::string_view line) noexcept override;
  bool Drain(std::chrono::milliseconds patience) noexcept override;

  void Abandon() noexcept override;

 private:
  [[nodiscard]] std::shared_ptr<Channel> CurrentChannel();
  /// True when this process has not queued anything yet: then a flush needs no thread.
  [[nodiscard]] bool HasNoLines() noexcept;
  /// Keeps what a thread of the parent may have been changing from ever being freed.
  void LeaveInherited() noexcept;

  std::shared_ptr<LineSink> inner_;
  std::size_t capacity_;
  Overflow overflow_;
  ForkSafeLock lock_;
  std::uint32_t generation_ = 0;
  std::shared_ptr<Channel> channel_;
};

}  // namespace reqtrail
