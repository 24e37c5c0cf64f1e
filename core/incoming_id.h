#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "core/request_id.h"
#include "core/traceparent.h"

/// What the headers of a request say about its id. Nothing here allocates, throws or needs libstdc++ at run time.
namespace reqtrail {

namespace detail {

constexpr char LowerAscii(char byte) noexcept {
  return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + ('a' - 'A')) : byte;
}

}  // namespace detail

/// Whether `name` is the header `lower`, which is lower case. ASGI says that names are lower case; a server or an
/// application that does not comply is read all the same.
[[nodiscard]] constexpr bool IsHeaderNamed(std::string_view name, std::string_view lower) noexcept {
  if (name.size() != lower.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] != lower[i] && detail::LowerAscii(name[i]) != lower[i]) return false;
  }
  return true;
}

/// Whether the comma-separated `list` of a header's value has the header `lower` (lower case) in it.
[[nodiscard]] constexpr bool ListsHeader(std::string_view list, std::string_view lower) noexcept {
  for (std::size_t start = 0; start <= list.size();) {
    std::size_t end = start;
    while (end < list.size() && list[end] != ',') ++end;
    std::size_t first = start;
    std::size_t last = end;
    while (first < last && (list[first] == ' ' || list[first] == '\t')) ++first;
    while (last > first && (list[last - 1] == ' ' || list[last - 1] == '\t')) --last;
    if (IsHeaderNamed({list.data() + first, last - first}, lower)) return true;
    start = end + 1;
  }
  return false;
}

/// Takes the headers of one request, one by one, and says what they name. The views point into what was offered.
class IncomingId {
 public:
  static constexpr std::string_view kTraceparentHeader = "traceparent";

  /// What a header was taken for.
  enum class Header : unsigned char { kOther, kRequestId, kTraceparent };

  /// `header_name` is the lower-case name of the header that holds the id, and outlives this object.
  constexpr explicit IncomingId(std::string_view header_name) noexcept : header_name_(header_name) {}

  /// False for most names that Offer takes for kOther: by their length.
  [[nodiscard]] constexpr bool MayTake(std::string_view name) const noexcept {
    return name.size() == header_name_.size() || name.size() == kTraceparentHeader.size();
  }

  constexpr Header Offer(std::string_view name, std::string_view value) noexcept {
    if (IsHeaderNamed(name, header_name_)) {
      ++ids_;
      id_ = ids_ == 1 && IsRequestId(value) ? value : std::string_view{};
      return Header::kRequestId;
    }
    if (IsHeaderNamed(name, kTraceparentHeader)) {
      ++traceparents_;
      traceparent_ = value;
      return Header::kTraceparent;
    }
    return Header::kOther;
  }

  /// The id of the header, if that is there once and is a request id; else empty.
  [[nodiscard]] constexpr std::string_view Id() const noexcept { return id_; }

  /// Whether the header is there, but cannot be used.
  [[nodiscard]] constexpr bool IsRejected() const noexcept { return ids_ != 0 && id_.empty(); }

  /// The traceparent, if it is there once and W3C Trace Context says that it is one; its views point into it.
  [[nodiscard]] constexpr std::optional<Traceparent> Trace() const noexcept {
    return traceparents_ == 1 ? ParseTraceparent(traceparent_) : std::nullopt;
  }

 private:
  std::string_view header_name_;
  std::string_view id_;
  std::string_view traceparent_;
  std::size_t ids_ = 0;
  std::size_t traceparents_ = 0;
};

}  // namespace reqtrail
