#include "log_sinks/async_sink.h"

#include <pthread.h>
#include <spdlog/common.h>
#include <spdlog/details/circular_q.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace reqtrail {

/// All but `inner` is guarded by the mutex of the writer.
struct AsyncSink::Channel {
  Channel(std::shared_ptr<LineSink> to, std::size_t capacity) : inner(std::move(to)), lines(capacity) {}

  [[nodiscard]] bool HasRoomFor(std::size_t size) const {
    constexpr std::size_t kMaxBytes = std::size_t{64} << 20U;
    return !lines.full() && (bytes + size <= kMaxBytes || lines.empty());
  }

  [[nodiscard]] std::string Pop() {
    std::string line = std::move(lines.front());
    lines.pop_front();
    bytes -= line.size();
    return line;
  }

  std::shared_ptr<LineSink> inner;
  spdlog::details::circular_q<std::string> lines;
  std::size_t bytes = 0;
  bool is_listed = false;  ///< among those that have lines, or in the hands of the thread
};

namespace {

using Channel = AsyncSink::Channel;

/// The one thread of the process, and the lock of all queues. Never freed: the thread runs until the process ends, and
/// in a child that inherited the object its lock may be held for ever.
class Writer {
 public:
  /// Throws std::system_error when there can be no thread.
  Writer() {
    sigset_t all{};
    sigset_t before{};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([this] { Run(); }).detach();
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  DropReason Push(const std::shared_ptr<Channel>& channel, std::string line, Overflow overflow) {
    std::unique_lock guard(mutex_);
    while (!channel->HasRoomFor(line.size())) {
      if (overflow == Overflow::kDropNewest) return DropReason::kQueueFull;
      if (overflow == Overflow::kBlock) {
        progress_.wait(guard);
      } else {
        (void)channel->Pop();
        CountDropped(DropReason::kQueueFull);
      }
    }
    if (!channel->is_listed) {
      ready_.push_back(channel);
      channel->is_listed = true;
      work_.notify_one();
    }
    channel->bytes += line.size();
    channel->lines.push_back(std::move(line));
    return DropReason::kNone;
  }

  bool Drain(const Channel& channel, std::chrono::milliseconds patience) {
    std::unique_lock guard(mutex_);
    return progress_.wait_for(guard, patience, [&channel] { return !channel.is_listed; });
  }

  void Abandon(Channel& channel) {
    const std::lock_guard guard(mutex_);
    CountDropped(DropReason::kExit, channel.lines.size());
    while (!channel.lines.empty()) (void)channel.Pop();
  }

 private:
  [[noreturn]] void Run() {
    std::unique_lock guard(mutex_);
    for (;;) {
      work_.wait(guard, [this] { return !ready_.empty(); });
      const std::shared_ptr<Channel> channel = ready_.front();
      if (!channel->lines.empty()) {
        const std::string line = channel->Pop();
        guard.unlock();
        channel->inner->log({{}, spdlog::level::info, {line.data(), line.size()}});
        guard.lock();
      }
      channel->is_listed = !channel->lines.empty();
      // Without an allocation, which could fail: to the end, then off it if there is nothing left.
      std::ranges::rotate(ready_, ready_.begin() + 1);
      if (!channel->is_listed) ready_.pop_back();
      progress_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable progress_;
  std::vector<std::shared_ptr<Channel>> ready_;  ///< those that have lines, each once
};

/// The writer of this process: of the parent before a fork, a new one after it. Throws std::bad_alloc or
/// std::system_error.
Writer& WriterOfThisProcess() {
  static ForkSafeLock lock;
  static Writer* writer = nullptr;
  static std::uint32_t generation = 0;
  const std::lock_guard guard(lock);
  if (generation != ForkGeneration()) {
    writer = new Writer;  // NOLINT(cppcoreguidelines-owning-memory): see above
    generation = ForkGeneration();
  }
  return *writer;
}

}  // namespace

AsyncSink::AsyncSink(std::shared_ptr<LineSink> inner, std::size_t capacity, Overflow overflow)
    : inner_(std::move(inner)), capacity_(capacity), overflow_(overflow) {}

AsyncSink::~AsyncSink() {
  if (generation_ != ForkGeneration()) LeaveInherited();
}

void AsyncSink::LeaveInherited() noexcept {
  if (channel_ != nullptr) (void)new (std::nothrow) std::shared_ptr<Channel>(channel_);
}

std::shared_ptr<AsyncSink::Channel> AsyncSink::CurrentChannel() {
  const std::lock_guard guard(lock_);
  if (generation_ != ForkGeneration()) {
    auto fresh = std::make_shared<Channel>(inner_, capacity_);
    LeaveInherited();
    channel_ = std::move(fresh);
    generation_ = ForkGeneration();
  }
  return channel_;
}

bool AsyncSink::HasNoLines() noexcept {
  const std::lock_guard guard(lock_);
  return generation_ != ForkGeneration();
}

DropReason AsyncSink::Write(std::string_view line) noexcept {
  try {
    const std::shared_ptr<Channel> channel = CurrentChannel();
    return WriterOfThisProcess().Push(channel, std::string(line), overflow_);
  } catch (const std::exception&) {
    return inner_->Write(line);  // no memory or no thread: then as if there were no queue
  }
}

bool AsyncSink::Drain(std::chrono::milliseconds patience) noexcept {
  if (HasNoLines()) return true;
  try {
    const std::shared_ptr<Channel> channel = CurrentChannel();
    return WriterOfThisProcess().Drain(*channel, patience);
  } catch (const std::exception&) {
    return false;
  }
}

void AsyncSink::Abandon() noexcept {
  if (HasNoLines()) return;
  try {
    const std::shared_ptr<Channel> channel = CurrentChannel();
    WriterOfThisProcess().Abandon(*channel);
  } catch (const std::exception&) {
    return;
  }
}

}  // namespace reqtrail
