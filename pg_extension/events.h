#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "pg_extension/request_key.h"

namespace reqtrail {

/// The start of a text in the encoding of a database. Only the first `size` bytes mean anything.
template <std::size_t kBytes>
struct EventText {
  std::int32_t encoding = 0;  // the server's number of it
  std::uint32_t size = 0;
  char bytes[kBytes]{};

  [[nodiscard]] std::string_view View() const noexcept { return {bytes, size}; }

  /// REQUIRES: text.size() <= kBytes.
  void Assign(std::string_view text, int text_encoding) noexcept {
    encoding = text_encoding;
    size = static_cast<std::uint32_t>(text.size());
    std::memcpy(bytes, text.data(), text.size());
  }
};

/// What both kinds of events have.
struct EventHead {
  std::int64_t time = 0;      // TimestampTz
  std::uint64_t queryid = 0;  // of the statement; 0: unknown
  std::int32_t pid = 0;       // of the backend
  RequestKey key;             // key.id.size 0: the event was erased
};

/// An error of a request.
struct ErrorEvent {
  EventHead head;
  std::int32_t sqlstate = 0;  // packed as in the server
  EventText<256> message;
};

/// A statement of a request that took long.
struct SlowEvent {
  EventHead head;
  std::int64_t duration = 0;  // nanoseconds
  EventText<1024> text;
};

/// The last events of one kind, in memory that the caller provides and may be shared between processes. Pure C++:
/// allocates nothing, throws nothing. Locking: the caller's. The const functions need shared access, the others
/// exclusive access.
template <typename Event>
class EventRing {
 public:
  static_assert(std::is_trivially_copyable_v<Event> && std::is_standard_layout_v<Event>);

  [[nodiscard]] static std::size_t Bytes(std::uint32_t capacity) noexcept {
    return sizeof(EventRing) + (sizeof(Event) * capacity);
  }

  /// REQUIRES: capacity > 0; memory is aligned to 8 and has Bytes(capacity).
  static EventRing* Create(void* memory, std::uint32_t capacity) noexcept {
    auto* ring = new (memory) EventRing;
    ring->capacity_ = capacity;
    return ring;
  }

  /// In the place of the oldest one, if it is full.
  void Add(const Event& event) noexcept {
    Event& place = Events()[next_];
    next_ = next_ + 1 == capacity_ ? 0 : next_ + 1;
    if (used_ < capacity_) {
      ++used_;
    } else if (place.head.key.id.size != 0) {
      CountLost(1, place.head.time);
    }
    place = event;
  }

  /// `count` events, the last of them at `until`, were lost on their way here.
  void CountLost(std::uint64_t count, std::int64_t until) noexcept {
    overwritten_ += count;
    overwritten_until_ = std::max(overwritten_until_, until);
  }

  void Clear() noexcept {
    const std::uint32_t capacity = capacity_;
    *this = EventRing{};
    capacity_ = capacity;
  }

  /// Forgets the events of one request; their places count as used until they are overwritten.
  void Erase(std::string_view id) noexcept {
    for (std::uint32_t i = 0; i < used_; ++i) {
      if (Events()[i].head.key.id.View() == id) Events()[i].head.key.id.size = 0;
    }
  }

  /// Calls use(event) for each, the oldest first.
  template <typename Use>
  void ForEach(const Use& use) const {
    const std::uint32_t first = used_ < capacity_ ? 0 : next_;
    for (std::uint32_t i = 0; i < used_; ++i) {
      const Event& event = Events()[(first + i) % capacity_];
      if (event.head.key.id.size != 0) use(event);
    }
  }

  [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }
  /// Since the last Clear: how many events gave way, and the latest time among them (0: none).
  [[nodiscard]] std::uint64_t overwritten() const noexcept { return overwritten_; }
  [[nodiscard]] std::int64_t overwritten_until() const noexcept { return overwritten_until_; }

 private:
  [[nodiscard]] Event* Events() noexcept { return reinterpret_cast<Event*>(this + 1); }
  [[nodiscard]] const Event* Events() const noexcept { return reinterpret_cast<const Event*>(this + 1); }

  std::uint32_t capacity_ = 0;
  std::uint32_t used_ = 0;
  std::uint32_t next_ = 0;
  std::uint64_t overwritten_ = 0;
  std::int64_t overwritten_until_ = 0;
};

}  // namespace reqtrail
