#include "metrics/entries.h"

#include <algorithm>
#include <cstring>

#include "metrics/wall_clock.h"

namespace reqtrail {
namespace {

using Length = std::uint32_t;

std::string_view TextBehind(const FamilyEntry& family, std::size_t skip, std::size_t bytes) noexcept {
  return {reinterpret_cast<const char*>(&family) + sizeof(FamilyEntry) + skip, bytes};
}

std::byte* Put(const void* data, std::size_t bytes, std::byte* to) noexcept {
  if (bytes > 0) std::memcpy(to, data, bytes);
  return to + bytes;
}

std::uint64_t OwnFamilyBytes(const FamilySpec& spec) noexcept {
  return AlignUp(sizeof(FamilyEntry) + spec.bounds.size_bytes() + spec.name.size() + spec.help.size() +
                     PackedBytes(spec.label_names),
                 kEntryAlign);
}

std::vector<std::string_view> DefaultLabelValues(const FamilySpec& spec) {
  return std::vector<std::string_view>(spec.label_names.size(), kOverflowLabelValue);
}

}  // namespace

std::uint64_t FamilyBytes(const FamilySpec& spec) {
  return OwnFamilyBytes(spec) + SeriesBytes(DefaultLabelValues(spec), CellsBytes(spec.type, spec.bounds.size()));
}

std::uint64_t SeriesBytes(std::span<const std::string_view> label_values, std::size_t cells) noexcept {
  return AlignUp(sizeof(SeriesEntry) + PackedBytes(label_values), kEntryAlign) + AlignUp(cells, kEntryAlign);
}

void WriteFamily(const FamilySpec& spec, std::uint64_t hash, std::uint64_t offset, std::byte* at) {
  const std::uint64_t own_bytes = OwnFamilyBytes(spec);
  auto& family = *reinterpret_cast<FamilyEntry*>(at);
  family.head = {.kind = EntryKind::kFamily, .bytes = static_cast<std::uint32_t>(own_bytes), .hash = hash};
  family.type = spec.type;
  family.label_count = static_cast<std::uint32_t>(spec.label_names.size());
  family.bound_count = static_cast<std::uint32_t>(spec.bounds.size());
  family.name_bytes = static_cast<std::uint32_t>(spec.name.size());
  family.help_bytes = static_cast<std::uint32_t>(spec.help.size());
  family.label_names_bytes = static_cast<std::uint32_t>(PackedBytes(spec.label_names));
  family.gauge_mode = spec.gauge_mode;
  family.default_series = offset + own_bytes;
  std::byte* text = at + sizeof(FamilyEntry);
  text = Put(spec.bounds.data(), spec.bounds.size_bytes(), text);
  text = Put(spec.name.data(), spec.name.size(), text);
  text = Put(spec.help.data(), spec.help.size(), text);
  PackTexts(spec.label_names, text);
  std::byte* default_series = at + own_bytes;
  WriteSeries(offset, 0, DefaultLabelValues(spec), CellsBytes(spec.type, spec.bounds.size()), default_series);
  LifeOf(*reinterpret_cast<SeriesEntry*>(default_series)).number.store(kDefaultLife, std::memory_order_relaxed);
}

void WriteSeries(std::uint64_t family, std::uint64_t hash, std::span<const std::string_view> label_values,
                 std::size_t cells, std::byte* at) noexcept {
  auto& series = *reinterpret_cast<SeriesEntry*>(at);
  series.head.kind = EntryKind::kSeries;
  series.head.bytes = static_cast<std::uint32_t>(SeriesBytes(label_values, cells));
  series.family = family;
  series.cells_offset =
      static_cast<std::uint32_t>(AlignUp(sizeof(SeriesEntry) + PackedBytes(label_values), kEntryAlign));
  series.cells_bytes = static_cast<std::uint32_t>(cells);
  RewriteSeries(series, hash, label_values);
}

void RewriteSeries(SeriesEntry& series, std::uint64_t hash, std::span<const std::string_view> label_values) noexcept {
  series.head.hash = hash;
  series.label_count = static_cast<std::uint32_t>(label_values.size());
  series.label_values_bytes = static_cast<std::uint32_t>(PackedBytes(label_values));
  series.created_unix_ns = UnixNanoseconds();
  PackTexts(label_values, reinterpret_cast<std::byte*>(&series + 1));
}

bool Agrees(const FamilyEntry& family, const FamilySpec& spec) noexcept {
  return family.type == spec.type && family.gauge_mode == spec.gauge_mode &&
         family.label_count == spec.label_names.size() && PackedEquals(PackedLabelNames(family), spec.label_names) &&
         std::ranges::equal(FamilyBounds(family), spec.bounds);
}

std::size_t PackedBytes(std::span<const std::string_view> texts) noexcept {
  std::size_t bytes = 0;
  for (const std::string_view text : texts) bytes += sizeof(Length) + text.size();
  return bytes;
}

std::byte* PackTexts(std::span<const std::string_view> texts, std::byte* to) noexcept {
  for (const std::string_view text : texts) {
    const auto length = static_cast<Length>(text.size());
    to = Put(&length, sizeof(length), to);
    to = Put(text.data(), text.size(), to);
  }
  return to;
}

bool PackedEquals(std::string_view packed, std::span<const std::string_view> texts) noexcept {
  for (const std::string_view text : texts) {
    Length length = 0;
    if (packed.size() < sizeof(length)) return false;
    std::memcpy(&length, packed.data(), sizeof(length));
    packed.remove_prefix(sizeof(length));
    if (length != text.size() || !packed.starts_with(text)) return false;
    packed.remove_prefix(text.size());
  }
  return packed.empty();
}

std::optional<std::vector<std::string_view>> UnpackTexts(std::string_view packed) {
  std::vector<std::string_view> texts;
  while (!packed.empty()) {
    Length length = 0;
    if (packed.size() < sizeof(length)) return std::nullopt;
    std::memcpy(&length, packed.data(), sizeof(length));
    packed.remove_prefix(sizeof(length));
    if (packed.size() < length) return std::nullopt;
    texts.push_back(packed.substr(0, length));
    packed.remove_prefix(length);
  }
  return texts;
}

std::optional<std::vector<std::string_view>> UnpackTexts(std::string_view packed, std::size_t count) {
  std::optional<std::vector<std::string_view>> texts = UnpackTexts(packed);
  if (texts && texts->size() != count) return std::nullopt;
  return texts;
}

std::span<const double> FamilyBounds(const FamilyEntry& family) noexcept {
  return {reinterpret_cast<const double*>(&family + 1), family.bound_count};
}

std::string_view FamilyName(const FamilyEntry& family) noexcept {
  return TextBehind(family, family.bound_count * sizeof(double), family.name_bytes);
}

std::string_view FamilyHelp(const FamilyEntry& family) noexcept {
  return TextBehind(family, (family.bound_count * sizeof(double)) + family.name_bytes, family.help_bytes);
}

std::string_view PackedLabelNames(const FamilyEntry& family) noexcept {
  return TextBehind(family, (family.bound_count * sizeof(double)) + family.name_bytes + family.help_bytes,
                    family.label_names_bytes);
}

std::string_view PackedLabelValues(const SeriesEntry& series) noexcept {
  return {reinterpret_cast<const char*>(&series + 1), series.label_values_bytes};
}

std::byte* CellsOf(const SeriesEntry& series) noexcept {
  auto* entry = reinterpret_cast<std::byte*>(const_cast<SeriesEntry*>(&series));
  return entry + series.cells_offset;
}

CellLife& LifeOf(const SeriesEntry& series) noexcept { return *reinterpret_cast<CellLife*>(CellsOf(series)); }

void TextHash::Add(std::uint64_t word) noexcept {
  state_ = (state_ ^ word) * 0xff51afd7ed558ccdU;
  state_ ^= state_ >> 32U;
}

void TextHash::Add(std::string_view text) noexcept {
  Add(static_cast<std::uint64_t>(text.size()));
  while (!text.empty()) {
    std::uint64_t word = 0;
    const std::size_t bytes = text.size() < sizeof(word) ? text.size() : sizeof(word);
    std::memcpy(&word, text.data(), bytes);
    Add(word);
    text.remove_prefix(bytes);
  }
}

std::uint64_t TextHash::Finish() const noexcept {
  const std::uint64_t mixed = (state_ ^ (state_ >> 29U)) * 0xc4ceb9fe1a85ec53U;
  return mixed ^ (mixed >> 32U);
}

}  // namespace reqtrail
