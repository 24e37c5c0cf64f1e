#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reqtrail {

/// The label under which a request id is an exemplar.
inline constexpr std::string_view kExemplarRequestId = "request_id";

/// OpenMetrics 1.0 allows this many characters (not bytes) in all names and values of one exemplar.
inline constexpr std::size_t kExemplarMaxCharacters = 128;
inline constexpr std::size_t kExemplarMaxRequestIdBytes = kExemplarMaxCharacters - kExemplarRequestId.size();

inline constexpr std::size_t kExemplarPayloadWords = 17;
inline constexpr std::size_t kExemplarPayloadBytes = kExemplarPayloadWords * sizeof(std::uint64_t);

/// The place of one exemplar in the shared segment; all zero is empty. Any number of threads and processes may store
/// and load at once and nobody ever waits: the words are relaxed atomics, and `check` is a checksum over all the
/// others. Two stores that interleave, or a writer killed half-way, leave words that do not fit their checksum: readers
/// see no exemplar there until the next store.
struct ExemplarSlot {
  std::atomic<std::uint64_t> check;
  std::atomic<std::uint64_t> shape;  ///< payload bytes in the low half, ExemplarKind in the high half
  std::atomic<std::uint64_t> value_bits;
  std::atomic<std::uint64_t> unix_ns;
  std::array<std::atomic<std::uint64_t>, kExemplarPayloadWords> payload;
};

enum class ExemplarKind : std::uint8_t {
  kRequestId = 1,  ///< the payload is the value of the label `request_id`
  kLabels = 2,     ///< the payload is pairs: a length byte and a name, a length byte and a value
};

/// Labels of an exemplar, packed to be stored. The text is copied; nothing is allocated.
class ExemplarLabels {
 public:
  /// Adds a label. False, and nothing is added, if names and values together would exceed 128 characters, or 136 bytes
  /// with two bytes for each label. Both are UTF-8; the name is not checked.
  [[nodiscard]] bool Add(std::string_view name, std::string_view value) noexcept;

  [[nodiscard]] std::string_view packed() const noexcept { return {bytes_.data(), size_}; }

 private:
  void Append(std::string_view text) noexcept;

  std::array<char, kExemplarPayloadBytes> bytes_{};
  std::size_t size_ = 0;
};

/// One exemplar as it was stored.
struct Exemplar {
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
  std::uint64_t unix_ns = 0;
};

/// Replaces the slot's exemplar by `request_id`, the value and the present time (resolution: the kernel's tick). An id
/// that is empty or has more than 118 bytes changes nothing.
void StoreExemplar(ExemplarSlot& slot, double value, std::string_view request_id) noexcept;
void StoreExemplar(ExemplarSlot& slot, double value, const ExemplarLabels& labels) noexcept;

/// The slot's exemplar; nothing if it is empty, torn or not well-formed.
std::optional<Exemplar> LoadExemplar(const ExemplarSlot& slot);

}  // namespace reqtrail
