#include "metrics/exemplar.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace reqtrail {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

// The slot's exemplar, or one without labels if there is none.
Exemplar Loaded(const ExemplarSlot& slot) { return LoadExemplar(slot).value_or(Exemplar()); }

Labels RequestId(const std::string& id) { return {{"request_id", id}}; }

TEST(ExemplarTest, AnEmptySlotHasNone) {
  const ExemplarSlot slot{};
  EXPECT_FALSE(LoadExemplar(slot));
}

TEST(ExemplarTest, ARequestIdComesBackWithItsValueAndTheTime) {
  ExemplarSlot slot{};
  StoreExemplar(slot, 0.25, std::string_view("8f14e45f-ceea-467f-a0e6-1d2c3b4a5f60"));
  const Exemplar exemplar = Loaded(slot);
  EXPECT_EQ(exemplar.labels, RequestId("8f14e45f-ceea-467f-a0e6-1d2c3b4a5f60"));
  EXPECT_EQ(exemplar.value, 0.25);
  EXPECT_NEAR(static_cast<double>(exemplar.unix_ns) / 1e9, static_cast<double>(std::time(nullptr)), 2);
}

TEST(ExemplarTest, AShorterIdLeavesNothingOfALongerOne) {
  ExemplarSlot slot{};
  StoreExemplar(slot, 1, std::string_view("a-long-request-id-that-fills-words"));
  StoreExemplar(slot, 2, std::string_view("short"));
  EXPECT_EQ(Loaded(slot).labels, RequestId("short"));
}

TEST(ExemplarTest, AnIdOfMoreThan118BytesChangesNothing) {
  ExemplarSlot slot{};
  StoreExemplar(slot, 1, std::string_view(std::string(118, 'a')));
  StoreExemplar(slot, 2, std::string_view(std::string(119, 'b')));
  StoreExemplar(slot, 3, std::string_view());
  EXPECT_EQ(Loaded(slot).labels, RequestId(std::string(118, 'a')));
}

TEST(ExemplarTest, LabelsOfTheCallersChoiceComeBack) {
  ExemplarSlot slot{};
  const std::array<ExemplarLabels::Pair, 2> pairs = {{{"trace_id", "4bf92f"}, {"span_id", ""}}};
  StoreExemplar(slot, 1, ExemplarLabels::Pack(pairs).value_or(ExemplarLabels()));
  EXPECT_EQ(Loaded(slot).labels, (Labels{{"trace_id", "4bf92f"}, {"span_id", ""}}));
}

TEST(ExemplarTest, LabelsMayHave128CharactersInAll) {
  const std::string value_124(124, 'v');
  const std::array<ExemplarLabels::Pair, 1> fits = {{{"name", value_124}}};
  const std::array<ExemplarLabels::Pair, 1> too_long = {{{"names", value_124}}};
  EXPECT_TRUE(ExemplarLabels::Pack(fits));
  EXPECT_FALSE(ExemplarLabels::Pack(too_long));
}

TEST(ExemplarTest, CharactersOfSeveralBytesAreLimitedByTheSlot) {
  std::string umlauts;
  for (int i = 0; i < 65; ++i) umlauts += "\xC3\xA4";
  const std::array<ExemplarLabels::Pair, 1> fits = {{{"name", umlauts}}};  // 2 + 4 + 130 bytes
  EXPECT_TRUE(ExemplarLabels::Pack(fits));
  umlauts += "\xC3\xA4";
  const std::array<ExemplarLabels::Pair, 1> too_long = {{{"name", umlauts}}};
  EXPECT_FALSE(ExemplarLabels::Pack(too_long));
}

TEST(ExemplarTest, AHalfWrittenOneIsNotSeenAndDoesNotStayInTheWay) {
  ExemplarSlot slot{};
  StoreExemplar(slot, 1, std::string_view("first-request"));
  slot.payload[0].fetch_xor(1);  // as if a writer had been killed after its first word
  EXPECT_FALSE(LoadExemplar(slot));
  StoreExemplar(slot, 2, std::string_view("second-request"));
  EXPECT_EQ(Loaded(slot).labels, RequestId("second-request"));
}

TEST(ExemplarTest, WhateverTheSlotHoldsIsReadSafely) {
  ExemplarSlot slot{};
  StoreExemplar(slot, 1, std::string_view("id"));
  slot.shape.store(~std::uint64_t{0});
  EXPECT_FALSE(LoadExemplar(slot));
}

TEST(ExemplarTest, ConcurrentWritersNeverShowAMixture) {
  ExemplarSlot slot{};
  std::atomic<bool> stop = false;
  std::vector<std::thread> writers;
  for (int writer = 1; writer <= 3; ++writer) {
    writers.emplace_back([&slot, &stop, writer] {
      const std::string id(static_cast<std::size_t>(writer) * 20, static_cast<char>('a' + writer));
      while (!stop) StoreExemplar(slot, writer, std::string_view(id));
    });
  }
  int seen = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (seen < 2000 && std::chrono::steady_clock::now() < deadline) {
    const Exemplar exemplar = Loaded(slot);
    if (exemplar.labels.empty()) continue;
    ++seen;
    const auto writer = static_cast<std::size_t>(exemplar.value);
    ASSERT_EQ(exemplar.labels, RequestId(std::string(writer * 20, static_cast<char>('a' + writer))));
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(seen, 2000) << "writers that never pause must not hide the exemplar for good";
}

}  // namespace
}  // namespace reqtrail
