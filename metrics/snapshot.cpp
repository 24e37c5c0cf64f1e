#include "metrics/snapshot.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "metrics/entries.h"

namespace reqtrail {
namespace {

// The last label of an info is what it says.
std::optional<SeriesView> WithInfo(SeriesView view) {
  if (view.label_values.empty()) return std::nullopt;
  std::optional<std::vector<std::string_view>> pairs = UnpackTexts(view.label_values.back());
  if (!pairs || pairs->size() % 2 != 0) return std::nullopt;
  view.label_values.pop_back();
  view.info = std::move(*pairs);
  return view;
}

std::optional<SeriesView> ViewOf(Segment& segment, const FamilyEntry& family, const SeriesEntry& series) {
  if (LifeOf(series).Is(0) || series.label_count != family.label_count ||
      series.cells_bytes != CellsBytes(family.type, family.bound_count)) {
    return std::nullopt;
  }
  std::optional<std::vector<std::string_view>> values = UnpackTexts(PackedLabelValues(series), series.label_count);
  if (!values) return std::nullopt;
  SeriesView view{.label_values = std::move(*values),
                  .info = {},
                  .created_unix_ns = series.created_unix_ns,
                  .counter = {},
                  .gauge = {},
                  .histogram = {}};
  switch (family.type) {
    case MetricType::kCounter:
      view.counter = CounterHandle(reinterpret_cast<CounterCell*>(CellsOf(series)));
      return view;
    case MetricType::kGauge:
    case MetricType::kStateSet:
      view.gauge = GaugeHandle(&segment, reinterpret_cast<GaugeCell*>(CellsOf(series)), family.gauge_mode);
      return view;
    case MetricType::kHistogram:
    case MetricType::kSummary: view.histogram = HistogramHandle(CellsOf(series), FamilyBounds(family)); return view;
    case MetricType::kInfo: return WithInfo(std::move(view));
  }
  return std::nullopt;
}

bool CountedNothing(const SeriesView& series) noexcept {
  if (series.counter) return series.counter.Value() == 0;
  if (series.gauge) return series.gauge.IsUntouched();
  if (!series.histogram) return true;
  for (std::size_t bucket = 0; bucket <= series.histogram.bounds().size(); ++bucket) {
    if (series.histogram.BucketCount(bucket) != 0) return false;
  }
  return true;
}

std::optional<FamilyView> ViewOf(Segment& segment, const FamilyEntry& family) {
  auto label_names = UnpackTexts(PackedLabelNames(family), family.label_count);
  if (!label_names || CellsBytes(family.type, family.bound_count) == 0) return std::nullopt;
  FamilyView view{.name = FamilyName(family),
                  .help = FamilyHelp(family),
                  .type = family.type,
                  .label_names = std::move(*label_names),
                  .series = {}};
  if (family.type == MetricType::kInfo && !view.label_names.empty()) view.label_names.pop_back();
  if (const SeriesEntry* series = segment.SeriesAt(family.default_series)) {
    std::optional<SeriesView> default_series = ViewOf(segment, family, *series);
    const bool is_overflow = family.label_count > 0;
    if (default_series && !(is_overflow && CountedNothing(*default_series))) {
      view.series.push_back(std::move(*default_series));
    }
  }
  return view;
}

}  // namespace

std::vector<FamilyView> TakeSnapshot(Segment& segment) {
  std::vector<FamilyView> families;
  std::unordered_map<std::uint64_t, std::size_t> by_offset;
  segment.ForEachEntry([&](const EntryHead& entry) {
    const std::uint64_t offset = segment.OffsetOf(entry);
    const FamilyEntry* family = segment.FamilyAt(offset);
    std::optional<FamilyView> view = family == nullptr ? std::nullopt : ViewOf(segment, *family);
    if (!view) return;
    by_offset.emplace(offset, families.size());
    families.push_back(std::move(*view));
  });
  segment.ForEachEntry([&](const EntryHead& entry) {
    const SeriesEntry* series = segment.SeriesAt(segment.OffsetOf(entry));
    if (series == nullptr) return;
    const auto found = by_offset.find(series->family);
    const FamilyEntry* family = found == by_offset.end() ? nullptr : segment.FamilyAt(series->family);
    std::optional<SeriesView> view = family == nullptr ? std::nullopt : ViewOf(segment, *family, *series);
    if (view) families[found->second].series.push_back(std::move(*view));
  });
  for (FamilyView& family : families) std::ranges::sort(family.series, {}, &SeriesView::label_values);
  std::ranges::sort(families, {}, &FamilyView::name);
  return families;
}

}  // namespace reqtrail
