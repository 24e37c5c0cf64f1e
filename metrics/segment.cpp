#include "metrics/segment.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "metrics/entries.h"
#include "metrics/names.h"
#include "metrics/registration.h"

namespace reqtrail {
namespace {

constexpr std::size_t kMaxFamilyTextBytes = 64UL * 1024;
constexpr std::size_t kMaxLabelValuesBytes = 16UL * 1024;
constexpr std::size_t kMaxBounds = 1000;

// The series of the instrument's own health, which the exposition writes from the header.
constexpr std::array<std::string_view, 2> kReservedNames = {"reqtrail_metrics_series_dropped",
                                                            "reqtrail_metrics_segments_set_aside"};

std::optional<std::string> SpecFault(const FamilySpec& spec) {
  if (!IsMetricName(spec.name)) return "Invalid metric name: " + std::string(spec.name);
  if (std::ranges::find(kReservedNames, spec.name) != kReservedNames.end()) {
    return "Reserved metric name: " + std::string(spec.name);
  }
  const bool is_histogram = spec.type == MetricType::kHistogram;
  if (auto fault = LabelNamesFault(spec.label_names, ReservedLabel(spec.type))) return fault;
  if (is_histogram) {
    if (auto fault = BoundsFault(spec.bounds)) return fault;
    if (spec.bounds.size() > kMaxBounds) return "More than 1000 buckets: " + std::string(spec.name);
  } else if (!spec.bounds.empty()) {
    return "Only histograms have buckets: " + std::string(spec.name);
  }
  if (spec.type == MetricType::kGauge) {
    const auto mode = static_cast<std::size_t>(spec.gauge_mode);
    if (mode >= kGaugeModeNames.size()) return "Unknown gauge mode: " + std::string(spec.name);
    const bool has_pid = spec.gauge_mode == GaugeMode::kAll || spec.gauge_mode == GaugeMode::kLiveAll;
    if (has_pid && std::ranges::find(spec.label_names, "pid") != spec.label_names.end()) {
      return "Reserved label metric name: pid";
    }
  }
  if (spec.name.size() + spec.help.size() + PackedBytes(spec.label_names) > kMaxFamilyTextBytes) {
    return "Name, documentation and label names exceed 64 KiB";
  }
  return std::nullopt;
}

MetricsError NoRoom(MetricsFault fault, int os_error, const std::string& path) {
  std::string message = "no room for another metric in " + path;
  if (os_error != 0) message += ": " + std::generic_category().message(os_error);
  return {.fault = fault, .os_error = os_error, .message = std::move(message)};
}

CounterHandle CounterAt(std::byte* cells) noexcept {
  return cells == nullptr ? CounterHandle() : CounterHandle(reinterpret_cast<CounterCell*>(cells));
}

}  // namespace

HistogramHandle Family::HistogramAt(std::byte* cells) const noexcept {
  return cells == nullptr ? HistogramHandle() : HistogramHandle(cells, bounds_);
}

CounterHandle Family::Counter(std::span<const std::string_view> label_values) const noexcept {
  if (segment_ == nullptr || type_ != MetricType::kCounter) return {};
  return CounterAt(segment_->FindOrMakeCells(*this, label_values));
}

GaugeHandle Family::Gauge(std::span<const std::string_view> label_values) const noexcept {
  if (segment_ == nullptr || (type_ != MetricType::kGauge && type_ != MetricType::kStateSet)) return {};
  std::byte* cells = segment_->FindOrMakeCells(*this, label_values);
  return {segment_, reinterpret_cast<GaugeCell*>(cells), gauge_mode_};
}

HistogramHandle Family::Histogram(std::span<const std::string_view> label_values) const noexcept {
  if (segment_ == nullptr || (type_ != MetricType::kHistogram && type_ != MetricType::kSummary)) return {};
  return HistogramAt(segment_->FindOrMakeCells(*this, label_values));
}

bool Family::IsOverflow(const CounterHandle& counter) const noexcept {
  return label_count_ > 0 && counter == CounterAt(default_cells_);
}

bool Family::IsOverflow(const GaugeHandle& gauge) const noexcept {
  return label_count_ > 0 && gauge.SameAs({segment_, reinterpret_cast<GaugeCell*>(default_cells_), gauge_mode_});
}

bool Family::IsOverflow(const HistogramHandle& histogram) const noexcept {
  return label_count_ > 0 && histogram.SameAs(HistogramAt(default_cells_));
}

Result<bool> Family::SetInfo(std::span<const std::string_view> label_values, std::span<const Pair> pairs) const {
  std::vector<std::string_view> texts;
  for (const auto& [name, value] : pairs) texts.insert(texts.end(), {name, value});
  std::string packed(PackedBytes(texts), '\0');
  PackTexts(texts, reinterpret_cast<std::byte*>(packed.data()));
  std::vector<std::string_view> values(label_values.begin(), label_values.end());
  values.emplace_back(packed);
  return segment_->SetInfo(*this, values);
}

Result<std::uint64_t> Family::Remove(std::span<const std::optional<std::string_view>> label_values) const {
  if (segment_ == nullptr || label_count_ == 0) return std::uint64_t{0};
  return segment_->Remove(*this, label_values);
}

Result<std::unique_ptr<Segment>> Segment::Open(const SegmentOptions& options) {
  Result<SegmentFile> file = SegmentFile::Open(options);
  if (!file.ok()) return file.error();
  return std::make_unique<Segment>(std::move(file).value(), options.rest_of_removed);
}

Segment::Segment(SegmentFile file, std::chrono::nanoseconds rest_of_removed) noexcept
    : file_(std::move(file)), rest_of_removed_(rest_of_removed), constants_(file_.header().constants) {}

std::uint64_t Segment::series_dropped() const noexcept {
  return file_.header().series_dropped.load(std::memory_order_relaxed);
}

std::uint64_t Segment::series() const noexcept { return file_.header().series.load(std::memory_order_relaxed); }

std::uint64_t Segment::gauge_parts() const noexcept {
  return file_.header().gauge_parts.load(std::memory_order_relaxed);
}

std::atomic<std::uint64_t>& Segment::Slot(std::uint64_t index) const noexcept {
  return reinterpret_cast<std::atomic<std::uint64_t>*>(file_.At(constants_.table_offset))[index];
}

const EntryHead* Segment::EntryAt(std::uint64_t offset) const noexcept {
  const std::uint64_t end = std::min(file_.header().claimed.load(std::memory_order_acquire), constants_.capacity);
  if (offset % kEntryAlign != 0 || offset < constants_.heap_offset || offset >= end) return nullptr;
  const auto* head = reinterpret_cast<const EntryHead*>(file_.At(offset));
  return head->bytes >= sizeof(SeriesEntry) && head->bytes <= end - offset ? head : nullptr;
}

const EntryHead* Segment::Resolve(std::uint64_t slot_value) const noexcept {
  return slot_value == 0 ? nullptr : EntryAt((slot_value & 0xffffffffU) * kEntryAlign);
}

std::uint64_t Segment::OffsetOf(const EntryHead& entry) const noexcept {
  return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&entry) - file_.At(0));
}

const FamilyEntry* Segment::FamilyAt(std::uint64_t offset) const noexcept {
  const EntryHead* head = EntryAt(offset);
  if (head == nullptr || head->kind != EntryKind::kFamily || head->bytes < sizeof(FamilyEntry)) return nullptr;
  const auto* family = reinterpret_cast<const FamilyEntry*>(head);
  const std::uint64_t bytes = sizeof(FamilyEntry) + (std::uint64_t{family->bound_count} * sizeof(double)) +
                              std::uint64_t{family->name_bytes} + family->help_bytes + family->label_names_bytes;
  return bytes <= head->bytes ? family : nullptr;
}

const SeriesEntry* Segment::SeriesAt(std::uint64_t offset) const noexcept {
  const EntryHead* head = EntryAt(offset);
  if (head == nullptr || head->kind != EntryKind::kSeries) return nullptr;
  const auto* series = reinterpret_cast<const SeriesEntry*>(head);
  const bool fits = sizeof(SeriesEntry) + std::uint64_t{series->label_values_bytes} <= series->cells_offset &&
                    series->cells_offset % kEntryAlign == 0 &&
                    std::uint64_t{series->cells_offset} + series->cells_bytes <= head->bytes;
  return fits ? series : nullptr;
}

template <typename Matches>
std::optional<std::uint64_t> Segment::FindSlot(std::uint64_t hash, Matches matches) const noexcept {
  const std::uint64_t mask = constants_.table_slots - 1;
  const std::uint64_t tag = hash >> 32U;
  for (std::uint64_t probe = 0; probe <= mask; ++probe) {
    const std::uint64_t index = (hash + probe) & mask;
    const std::uint64_t value = Slot(index).load(std::memory_order_acquire);
    if (value == 0) return std::nullopt;
    if (value >> 32U != tag) continue;
    const EntryHead* entry = Resolve(value);
    if (entry != nullptr && entry->hash == hash && matches(*entry)) return index;
  }
  return std::nullopt;
}

template <typename Matches, typename Make>
Segment::Found Segment::FindOrInsert(std::uint64_t hash, Matches matches, Make make) noexcept {
  if (const auto slot = FindSlot(hash, matches)) {
    if (const EntryHead* entry = Resolve(Slot(*slot).load(std::memory_order_acquire))) return {.entry = entry};
  }
  Registration registration(*this);
  if (!registration.is_held()) return {.fault = MetricsFault::kSystem, .os_error = ETIMEDOUT};
  return FindOrInsert(registration, hash, matches, make);
}

template <typename Matches, typename Make>
Segment::Found Segment::FindOrInsert(Registration& registration, std::uint64_t hash, Matches matches,
                                     Make make) noexcept {
  if (const auto slot = FindSlot(hash, matches)) return {.entry = Resolve(Slot(*slot).load(std::memory_order_relaxed))};
  const Space made = make(registration);
  if (made.offset == 0) return {.fault = made.fault, .os_error = made.os_error};
  const EntryHead* entry = EntryAt(made.offset);
  if (entry == nullptr || !registration.Publish(hash, made.offset)) return {};
  SegmentHeader& header = file_.header();
  (entry->kind == EntryKind::kFamily ? header.families : header.series).fetch_add(1, std::memory_order_relaxed);
  return {.entry = entry};
}

Segment::Space Segment::Allocate(std::uint64_t bytes) noexcept {
  std::atomic<std::uint64_t>& next_free = file_.header().next_free;
  std::uint64_t offset = next_free.load(std::memory_order_relaxed);
  for (;;) {
    if (offset < constants_.heap_offset || offset % kEntryAlign != 0 || offset > constants_.capacity ||
        constants_.capacity - offset < bytes) {
      return {.fault = MetricsFault::kFull};
    }
    // Storage first, bytes second: a full disk must not cost the segment a hole.
    if (const int os_error = file_.Claim(offset + bytes)) return {.fault = MetricsFault::kSystem, .os_error = os_error};
    if (next_free.compare_exchange_weak(offset, offset + bytes, std::memory_order_relaxed)) return {.offset = offset};
  }
}

GaugePart* Segment::PartAt(std::uint64_t offset) const noexcept {
  const std::uint64_t end = std::min(file_.header().claimed.load(std::memory_order_acquire), constants_.capacity);
  if (offset % kEntryAlign != 0 || offset < constants_.heap_offset || offset >= end) return nullptr;
  return end - offset < sizeof(GaugePart) ? nullptr : reinterpret_cast<GaugePart*>(file_.At(offset));
}

std::uint64_t Segment::AllocatePart() noexcept {
  const Space space = Allocate(sizeof(GaugePart));
  SegmentHeader& header = file_.header();
  (space.offset == 0 ? header.series_dropped : header.gauge_parts).fetch_add(1, std::memory_order_relaxed);
  return space.offset;
}

std::byte* Segment::UsableCells(const Family& family, const SeriesEntry* series) noexcept {
  const std::size_t bytes = CellsBytes(family.type_, family.bounds_.size());
  return series != nullptr && series->family == family.offset_ && series->cells_bytes == bytes ? CellsOf(*series)
                                                                                               : nullptr;
}

// The labels of a series that is looked for or made.
struct Segment::LabelSet {
  const Family& family;
  std::span<const std::string_view> values;
  std::uint64_t hash = 0;

  LabelSet(const Segment& segment, const Family& of, std::span<const std::string_view> label_values) noexcept
      : family(of), values(label_values) {
    TextHash hasher(segment.constants_.hash_seed);
    hasher.Add(family.offset_);
    for (const std::string_view value : values) hasher.Add(value);
    hash = hasher.Finish();
  }

  [[nodiscard]] bool Is(const SeriesEntry* series) const noexcept {
    return series != nullptr && series->family == family.offset_ && PackedEquals(PackedLabelValues(*series), values) &&
           !LifeOf(*series).Is(0);
  }
};

Segment::Space Segment::MakeSeries(Registration& registration, const LabelSet& labels) noexcept {
  if (series() >= constants_.max_series || PackedBytes(labels.values) > kMaxLabelValuesBytes) return {};
  const std::size_t cells = CellsBytes(labels.family.type_, labels.family.bounds_.size());
  Space space;
  if (const FamilyEntry* family = FamilyAt(labels.family.offset_)) {
    space.offset = registration.Reuse(const_cast<FamilyEntry&>(*family), labels.hash, labels.values);
  }
  if (space.offset == 0) {
    space = Allocate(SeriesBytes(labels.values, cells));
    if (space.offset != 0) {
      WriteSeries(labels.family.offset_, labels.hash, labels.values, cells, file_.At(space.offset));
    }
  }
  if (const SeriesEntry* series = SeriesAt(space.offset)) {
    LifeOf(*series).number.store(registration.NewLife(), std::memory_order_release);
  }
  return space;
}

std::byte* Segment::FindOrMakeCells(const Family& family, std::span<const std::string_view> values) noexcept {
  if (values.size() != family.label_count_) return nullptr;
  if (values.empty()) return family.default_cells_;
  const LabelSet labels(*this, family, values);
  const Found found = FindOrInsert(
      labels.hash, [&](const EntryHead& entry) { return labels.Is(SeriesAt(OffsetOf(entry))); },
      [&](Registration& registration) { return MakeSeries(registration, labels); });
  std::byte* cells = found.entry == nullptr ? nullptr : UsableCells(family, SeriesAt(OffsetOf(*found.entry)));
  if (cells != nullptr) return cells;
  file_.header().series_dropped.fetch_add(1, std::memory_order_relaxed);
  return family.default_cells_;
}

Result<bool> Segment::SetInfo(const Family& family, std::span<const std::string_view> values) {
  if (family.type_ != MetricType::kInfo || values.size() != family.label_count_) {
    return MetricsError{.fault = MetricsFault::kInvalid, .message = "Incorrect label count"};
  }
  const LabelSet labels(*this, family, values);
  const auto matches = [&](const EntryHead& entry) { return labels.Is(SeriesAt(OffsetOf(entry))); };
  Registration registration(*this);
  const FamilyEntry* entry = FamilyAt(family.offset_);
  if (!registration.is_held() || entry == nullptr) return NoRoom(MetricsFault::kSystem, ETIMEDOUT, path());
  const Found found =
      FindOrInsert(registration, labels.hash, matches, [&](Registration& held) { return MakeSeries(held, labels); });
  if (found.entry == nullptr) return NoRoom(found.fault, found.os_error, path());
  const std::size_t own_labels = PackedBytes(values.first(values.size() - 1));
  registration.RemoveWhere(const_cast<FamilyEntry&>(*entry), [&](const SeriesEntry& series) {
    return &series.head != found.entry &&
           PackedLabelValues(series).substr(0, own_labels) ==
               PackedLabelValues(*SeriesAt(OffsetOf(*found.entry))).substr(0, own_labels);
  });
  return true;
}

Result<std::uint64_t> Segment::Remove(const Family& family, std::span<const std::optional<std::string_view>> values) {
  Registration registration(*this);
  const FamilyEntry* entry = FamilyAt(family.offset_);
  if (!registration.is_held() || entry == nullptr) {
    return MetricsError{.fault = MetricsFault::kSystem,
                        .os_error = ETIMEDOUT,
                        .message = "somebody else keeps the registration lock of " + path()};
  }
  auto& changed = const_cast<FamilyEntry&>(*entry);
  std::vector<std::string_view> all;
  for (const std::optional<std::string_view>& value : values) {
    if (value) all.push_back(*value);
  }
  if (all.size() == family.label_count_) {
    const LabelSet labels(*this, family, all);
    const auto slot = FindSlot(labels.hash, [&](const EntryHead& head) { return labels.Is(SeriesAt(OffsetOf(head))); });
    if (!slot) return std::uint64_t{0};
    const EntryHead* found = Resolve(Slot(*slot).load(std::memory_order_relaxed));
    registration.Remove(*slot, changed, const_cast<SeriesEntry&>(*SeriesAt(OffsetOf(*found))));
    return std::uint64_t{1};
  }
  if (all.empty()) {
    registration.Reset(family.type_, family.default_cells_, CellsBytes(family.type_, family.bounds_.size()));
  }
  return registration.RemoveWhere(changed, [&](const SeriesEntry& series) {
    const auto own = UnpackTexts(PackedLabelValues(series), series.label_count);
    if (!own || own->size() < values.size()) return false;
    return std::ranges::equal(values, std::span(*own).first(values.size()),
                              [](const auto& wanted, std::string_view is) { return !wanted || *wanted == is; });
  });
}

Result<Family> Segment::Bind(const FamilyEntry& entry) {
  Family family;
  family.segment_ = this;
  family.offset_ = OffsetOf(entry.head);
  family.bounds_ = FamilyBounds(entry);
  family.type_ = entry.type;
  family.gauge_mode_ = entry.gauge_mode;
  family.label_count_ = entry.label_count;
  family.default_cells_ = UsableCells(family, SeriesAt(entry.default_series));
  if (family.default_cells_ != nullptr) return family;
  return MetricsError{.fault = MetricsFault::kSystem, .message = "the metrics file is damaged: " + path()};
}

Result<Family> Segment::GetOrCreateFamily(const FamilySpec& spec) {
  FamilySpec checked = spec;
  constexpr std::string_view kTotal = "_total";
  if (checked.type == MetricType::kCounter && checked.name.ends_with(kTotal)) checked.name.remove_suffix(kTotal.size());
  if (auto fault = SpecFault(checked))
    return MetricsError{.fault = MetricsFault::kInvalid, .message = std::move(*fault)};
  std::vector<std::string_view> info_labels(checked.label_names.begin(), checked.label_names.end());
  if (checked.type == MetricType::kInfo) {
    info_labels.push_back(kInfoPairsLabel);
    checked.label_names = info_labels;
  }

  TextHash hasher(constants_.hash_seed);
  hasher.Add(checked.name);
  const std::uint64_t hash = hasher.Finish();
  const auto matches = [&](const EntryHead& entry) {
    const FamilyEntry* family = FamilyAt(OffsetOf(entry));
    return family != nullptr && FamilyName(*family) == checked.name;
  };
  const auto make = [&](Registration& /*held*/) -> Space {
    if (file_.header().families.load(std::memory_order_relaxed) >= kMaxFamilies) return {};
    const Space space = Allocate(FamilyBytes(checked));
    if (space.offset != 0) WriteFamily(checked, hash, space.offset, file_.At(space.offset));
    return space;
  };
  const Found found = FindOrInsert(hash, matches, make);
  const FamilyEntry* family = found.entry == nullptr ? nullptr : FamilyAt(OffsetOf(*found.entry));
  if (family == nullptr) return NoRoom(found.fault, found.os_error, path());
  if (Agrees(*family, checked)) return Bind(*family);
  return MetricsError{.fault = MetricsFault::kConflict,
                      .message = "Duplicated timeseries: '" + std::string(checked.name) +
                                 "' exists with another type, other labels or other buckets"};
}

}  // namespace reqtrail
