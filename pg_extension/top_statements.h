#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>

namespace reqtrail {

/// What one statement of a request did.
struct StatementWork {
  std::uint64_t queryid = 0;    // the server's, or else a hash of the text; never 0 in use
  std::int64_t total_time = 0;  // nanoseconds
  std::uint32_t calls = 0;
  std::uint32_t rows = 0;  // as calls, it stays at its largest value rather than to start again
  float max_time = 0;      // nanoseconds, of one call
  float inherited = 0;     // weight of the statements that had this place before

  /// What a statement is kept by: its time, and for each call the round trip (100 us) that it costs the application.
  [[nodiscard]] float Weight() const noexcept {
    constexpr float kRoundTrip = 100'000;
    return inherited + static_cast<float>(total_time) + (static_cast<float>(calls) * kRoundTrip);
  }
};
static_assert(sizeof(StatementWork) == 32 && std::is_trivially_copyable_v<StatementWork>);

/// The statements of a request that weigh most: Space-Saving. A statement that finds no place takes that of the
/// lightest one and inherits its weight, so that whatever weighs more than an eighth of the whole is kept. The numbers
/// of an entry are exact since the statement came in (for good). Pure C++, plain data.
class TopStatements {
 public:
  static constexpr std::size_t kPlaces = 8;

  /// Adds what a statement did. Returns the calls of the statement that gave way, 0 if none did.
  std::uint32_t Add(const StatementWork& work) noexcept;

  /// Adds each of `others`. Returns the calls of those that gave way.
  std::uint64_t Add(const TopStatements& others) noexcept;

  void Clear() noexcept { used_ = 0; }

  /// As `other`, copying only what is in use.
  void Assign(const TopStatements& other) noexcept;

  /// In no order.
  [[nodiscard]] std::span<const StatementWork> All() const noexcept { return {entries_.data(), used_}; }

  /// The one with the most time; nullptr: there is none.
  [[nodiscard]] const StatementWork* Longest() const noexcept;

  /// Whether memory that came from outside holds a state that Add could have made.
  [[nodiscard]] bool IsValid() const noexcept;

 private:
  std::array<StatementWork, kPlaces> entries_;
  std::uint32_t used_ = 0;
};
static_assert(std::is_standard_layout_v<TopStatements> && std::is_trivially_copyable_v<TopStatements>);

}  // namespace reqtrail
