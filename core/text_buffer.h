#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace reqtrail {

/// Text that grows at its end. What std::string is for, but that its appends are inlined: a log line is a hundred of
/// them, of a few characters each. Whatever makes it grow throws std::bad_alloc, and leaves it as it was.
class TextBuffer {
 public:
  TextBuffer() = default;
  TextBuffer(TextBuffer&& other) noexcept
      : chars_(std::move(other.chars_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  TextBuffer& operator=(TextBuffer&& other) noexcept {
    chars_ = std::move(other.chars_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }
  TextBuffer(const TextBuffer&) = delete;
  TextBuffer& operator=(const TextBuffer&) = delete;
  ~TextBuffer() = default;

  /// Valid until the text changes.
  [[nodiscard]] std::string_view view() const noexcept { return {chars_.get(), size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  void Append(char c) {
    Reserve(1);
    chars_[size_++] = c;
  }
  /// `text` is no part of this buffer.
  void Append(std::string_view text) {
    Reserve(text.size());
    if (!text.empty()) std::memcpy(chars_.get() + size_, text.data(), text.size());
    size_ += text.size();
  }
  /// Puts `text` in front of the character at `at`.
  void Insert(std::size_t at, std::string_view text) {
    Reserve(text.size());
    char* place = chars_.get() + at;
    std::memmove(place + text.size(), place, size_ - at);
    std::memcpy(place, text.data(), text.size());
    size_ += text.size();
  }
  /// Drops the characters from `size` on.
  void Truncate(std::size_t size) noexcept { size_ = size; }

  /// Where the next `count` characters go, for a writer that says by Wrote() how many it made.
  [[nodiscard]] char* Room(std::size_t count) {
    Reserve(count);
    return chars_.get() + size_;
  }
  void Wrote(const char* end) noexcept { size_ = static_cast<std::size_t>(end - chars_.get()); }

 private:
  void Reserve(std::size_t more) {
    if (capacity_ - size_ < more) Grow(more);
  }

  void Grow(std::size_t more) {
    constexpr std::size_t kFirstBytes = 1024;
    const std::size_t capacity = std::max({size_ + more, 2 * capacity_, kFirstBytes});
    auto chars = std::make_unique_for_overwrite<char[]>(capacity);
    if (size_ > 0) std::memcpy(chars.get(), chars_.get(), size_);
    chars_ = std::move(chars);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> chars_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace reqtrail
