#include "metrics/exemplar.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <ctime>
#include <stop_token>
#include <string>
#include <string_view>
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
  ExemplarLabels labels;
  EXPECT_TRUE(labels.Add("trace_id", "4bf92f"));
  EXPECT_TRUE(labels.Add("span_id", ""));
  StoreExemplar(slot, 1, labels);
  EXPECT_EQ(Loaded(slot).labels, (Labels{{"trace_id", "4bf92f"}, {"span_id", ""}}));
}

TEST(ExemplarTest, LabelsMayHave128CharactersInAll) {
  ExemplarLabels labels;
  EXPECT_TRUE(labels.Add("name", std::string(123, 'v')));
  EXPECT_FALSE(labels.Add("n", "v")) << "129";
  EXPECT_TRUE(labels.Add("n", "")) << "what did not fit is not there";
  EXPECT_FALSE(ExemplarLabels().Add("names", std::string(124, 'v')));
}

TEST(ExemplarTest, CharactersOfSeveralBytesAreLimitedByTheSlot) {
  std::string umlauts;
  for (int i = 0; i < 65; ++i) umlauts += "\xC3\xA4";
  EXPECT_TRUE(ExemplarLabels().Add("name", umlauts)) << "2 + 4 + 130 bytes";
  EXPECT_FALSE(ExemplarLabels().Add("name", umlauts + "\xC3\xA4"));
  EXPECT_FALSE(ExemplarLabels().Add("name", std::string(1000, 'v')));
}

TEST(ExemplarTest, LabelsFillTheSlotToItsLastByte) {
  ExemplarSlot slot{};
  ExemplarLabels labels;
  const std::string umlauts = "\xC3\xA4\xC3\xA4";
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(labels.Add("abcdefghijkl", "0123456789012345" + umlauts));
  EXPECT_EQ(labels.packed().size(), kExemplarPayloadBytes);
  StoreExemplar(slot, 1, labels);
  EXPECT_EQ(Loaded(slot).labels, Labels(4, {"abcdefghijkl", "0123456789012345" + umlauts}));
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
  const auto id_of = [](std::size_t writer) { return std::string(writer * 20, static_cast<char>('a' + writer)); };
  std::vector<std::jthread> writers;
  for (std::size_t writer = 1; writer <= 3; ++writer) {
    writers.emplace_back([&slot, writer, id = id_of(writer)](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        for (int i = 0; i < 100; ++i) StoreExemplar(slot, static_cast<double>(writer), std::string_view(id));
        // Without pauses the words of several writers may stay mixed for as long as the scheduler pleases.
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    });
  }
  std::size_t changes = 0;
  std::size_t last = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (changes < 200 && !HasFailure() && std::chrono::steady_clock::now() < deadline) {
    const Exemplar exemplar = Loaded(slot);
    if (exemplar.labels.empty()) continue;
    const auto writer = static_cast<std::size_t>(exemplar.value);
    EXPECT_EQ(exemplar.labels, RequestId(id_of(writer)));
    changes += writer != last ? 1 : 0;
    last = writer;
  }
  EXPECT_EQ(changes, 200U);
}

}  // namespace
}  // namespace reqtrail
