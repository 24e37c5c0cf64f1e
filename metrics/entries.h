#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "metrics/layout.h"

namespace reqtrail {

/// What a family is. The text and the numbers are copied into the segment.
struct FamilySpec {
  std::string_view name;  ///< a counter's name without `_total`
  // Each further member has an initializer because GCC 12 warns where a designated initializer leaves one out.
  // NOLINTBEGIN(readability-redundant-member-init): see above
  std::string_view help = {};
  MetricType type = MetricType::kCounter;
  std::span<const std::string_view> label_names = {};
  std::span<const double> bounds = {};         ///< histograms: upper bounds, ascending, without +Inf; else empty
  GaugeMode gauge_mode = GaugeMode::kLiveSum;  ///< gauges
  // NOLINTEND(readability-redundant-member-init)
};

/// Each label of a family's overflow series has this value.
inline constexpr std::string_view kOverflowLabelValue = "__overflow__";

/// The storage of an entry, a multiple of kEntryAlign. FamilyBytes includes the family's default series.
[[nodiscard]] std::uint64_t FamilyBytes(const FamilySpec& spec);
[[nodiscard]] std::uint64_t SeriesBytes(std::span<const std::string_view> label_values, std::size_t cells) noexcept;

/// Write an entry that nobody has seen yet into zeroed storage at `at`, whose offset in the segment is `offset`.
void WriteFamily(const FamilySpec& spec, std::uint64_t hash, std::uint64_t offset, std::byte* at);
void WriteSeries(std::uint64_t family, std::uint64_t hash, std::span<const std::string_view> label_values,
                 std::size_t cells, std::byte* at) noexcept;

/// The same for storage that was a series of the same family before, and has room for these label values.
void RewriteSeries(SeriesEntry& series, std::uint64_t hash, std::span<const std::string_view> label_values) noexcept;

/// Whether an existing family has the type, labels and bounds of this one. The help text may differ.
[[nodiscard]] bool Agrees(const FamilyEntry& family, const FamilySpec& spec) noexcept;

/// Texts in the segment are packed: each behind its length (uint32, not aligned).
[[nodiscard]] std::size_t PackedBytes(std::span<const std::string_view> texts) noexcept;

/// Writes PackedBytes(texts) bytes and returns the address behind them.
std::byte* PackTexts(std::span<const std::string_view> texts, std::byte* to) noexcept;

/// Whether `packed` is exactly what PackTexts would write.
[[nodiscard]] bool PackedEquals(std::string_view packed, std::span<const std::string_view> texts) noexcept;

/// The texts, as views of `packed`; nothing if it is no sequence of texts.
[[nodiscard]] std::optional<std::vector<std::string_view>> UnpackTexts(std::string_view packed);

/// The same; nothing also if it does not hold exactly `count` texts.
[[nodiscard]] std::optional<std::vector<std::string_view>> UnpackTexts(std::string_view packed, std::size_t count);

/// The parts of an entry, as views of the mapping. REQUIRES: the entry was checked by Segment::FamilyAt or SeriesAt.
[[nodiscard]] std::span<const double> FamilyBounds(const FamilyEntry& family) noexcept;
[[nodiscard]] std::string_view FamilyName(const FamilyEntry& family) noexcept;
[[nodiscard]] std::string_view FamilyHelp(const FamilyEntry& family) noexcept;
[[nodiscard]] std::string_view PackedLabelNames(const FamilyEntry& family) noexcept;
[[nodiscard]] std::string_view PackedLabelValues(const SeriesEntry& series) noexcept;

/// A series' cells. Entries are read-only to readers; their cells are the one part that everybody may write.
[[nodiscard]] std::byte* CellsOf(const SeriesEntry& series) noexcept;
[[nodiscard]] CellLife& LifeOf(const SeriesEntry& series) noexcept;

/// A 64-bit hash of a sequence of texts, their borders included.
class TextHash {
 public:
  explicit TextHash(std::uint64_t seed) noexcept : state_(seed) {}
  void Add(std::string_view text) noexcept;
  void Add(std::uint64_t word) noexcept;
  [[nodiscard]] std::uint64_t Finish() const noexcept;

 private:
  std::uint64_t state_;
};

}  // namespace reqtrail
