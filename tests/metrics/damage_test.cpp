// A segment whose bytes were changed behind its back may show nonsense. It must not crash who reads or writes it.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "metrics/exposition.h"
#include "metrics/segment.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 1> kLabels = {"path"};
constexpr std::array<double, 2> kBounds = {1, 2};
constexpr FamilySpec kHits = {.name = "hits", .help = "Hits", .label_names = kLabels};
constexpr FamilySpec kSizes = {
    .name = "sizes", .type = MetricType::kHistogram, .label_names = kLabels, .bounds = kBounds};

void Use(Segment& segment) {
  for (const FamilySpec& spec : {kHits, kSizes}) {
    const Result<Family> family = segment.GetOrCreateFamily(spec);
    if (!family.ok()) continue;
    for (int i = 0; i < 20; ++i) {
      const std::string path = "/" + std::to_string(i);
      const std::array<std::string_view, 1> values = {path};
      family.value().Counter(values).Inc(1, std::string_view("id"));
      family.value().Histogram(values).Observe(1, std::string_view("id"));
    }
  }
}

class DamageTest : public testing::TestWithParam<unsigned> {};

TEST_P(DamageTest, NeitherReadersNorWritersCrash) {
  const TemporaryDirectory directory;
  Result<SegmentFile> file = SegmentFile::Open(OptionsIn(directory));
  ASSERT_TRUE(file.ok()) << file.error().message;
  const SegmentHeader& header = file.value().header();
  std::byte* bytes = file.value().At(0);
  Segment segment(std::move(file).value());
  Use(segment);

  std::mt19937 random(GetParam());
  const std::uint64_t heap = header.constants.heap_offset;
  const std::uint64_t used = header.next_free.load() - heap;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 4; ++i) bytes[heap + (random() % used)] = static_cast<std::byte>(random());
    // The heads of entries are few among the bytes, and the most dangerous: aim at them too.
    const std::uint64_t entry = heap + ((random() % (used / kEntryAlign)) * kEntryAlign);
    bytes[entry + (random() % sizeof(FamilyEntry))] = static_cast<std::byte>(random());
    const std::uint64_t slot = random() % header.constants.table_slots;
    const std::uint64_t nonsense = (static_cast<std::uint64_t>(random()) << 32U) | (random() % (used / 32));
    std::memcpy(bytes + header.constants.table_offset + (slot * sizeof(nonsense)), &nonsense, sizeof(nonsense));
    EXPECT_TRUE(Expose(segment, {.format = ExpositionFormat::kOpenMetrics}).ends_with("# EOF\n"));
    Use(segment);
  }
}

TEST_P(DamageTest, DamagedCountersOfTheHeaderAreNoDanger) {
  const TemporaryDirectory directory;
  Result<SegmentFile> file = SegmentFile::Open(OptionsIn(directory));
  ASSERT_TRUE(file.ok()) << file.error().message;
  SegmentHeader& header = file.value().header();
  Segment segment(std::move(file).value());
  std::mt19937_64 random(GetParam());
  Use(segment);
  for (int round = 0; round < 50; ++round) {
    header.next_free.store(random() >> (random() % 64));
    header.series.store(random());
    Use(segment);
    header.claimed.store(random() >> (random() % 64));
    EXPECT_TRUE(Expose(segment, {.format = ExpositionFormat::kOpenMetrics}).ends_with("# EOF\n"));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, DamageTest, testing::Range(1U, 7U));

}  // namespace
}  // namespace reqtrail
