#include "pg_extension/events.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace reqtrail {
namespace {

ErrorEvent Error(const std::string& id, std::int64_t time) {
  ErrorEvent error;
  error.head.time = time;
  error.head.key.id.Assign(id);
  error.message.Assign("message of " + id, 6);
  return error;
}

/// A ring in memory of exactly its size, so that AddressSanitizer sees a step outside.
class OwnedRing {
 public:
  explicit OwnedRing(std::uint32_t capacity)
      : memory_(std::malloc(EventRing<ErrorEvent>::Bytes(capacity)), &std::free),
        ring_(EventRing<ErrorEvent>::Create(memory_.get(), capacity)) {}
  EventRing<ErrorEvent>* operator->() const { return ring_; }

  [[nodiscard]] std::vector<std::string> Ids() const {
    std::vector<std::string> ids;
    ring_->ForEach([&ids](const ErrorEvent& error) {
      ids.emplace_back(error.head.key.id.View());
      EXPECT_EQ(error.message.View(), "message of " + ids.back());
    });
    return ids;
  }

 private:
  std::unique_ptr<void, void (*)(void*)> memory_;
  EventRing<ErrorEvent>* ring_;
};

TEST(EventRing, ShowsTheOldestFirst) {
  const OwnedRing ring(3);
  EXPECT_TRUE(ring.Ids().empty());
  ring->Add(Error("a", 1));
  ring->Add(Error("b", 2));
  EXPECT_EQ(ring.Ids(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ring->used(), 2U);
  EXPECT_EQ(ring->overwritten(), 0U);
}

TEST(EventRing, OverwritesTheOldestAndSaysSo) {
  const OwnedRing ring(3);
  for (int i = 0; i < 8; ++i) ring->Add(Error(std::string(1, static_cast<char>('a' + i)), 10 + i));
  EXPECT_EQ(ring.Ids(), (std::vector<std::string>{"f", "g", "h"}));
  EXPECT_EQ(ring->used(), 3U);
  EXPECT_EQ(ring->overwritten(), 5U);
  EXPECT_EQ(ring->overwritten_until(), 14);
}

TEST(EventRing, CountsWhatWasLostOnTheWay) {
  const OwnedRing ring(3);
  ring->CountLost(4, 99);
  EXPECT_EQ(ring->overwritten(), 4U);
  EXPECT_EQ(ring->overwritten_until(), 99);
}

TEST(EventRing, ErasesTheEventsOfOneRequest) {
  const OwnedRing ring(4);
  for (const char* id : {"a", "b", "a", "c"}) ring->Add(Error(id, 1));
  ring->Erase("a");
  EXPECT_EQ(ring.Ids(), (std::vector<std::string>{"b", "c"}));
  ring->Add(Error("d", 2));
  EXPECT_EQ(ring->overwritten(), 0U) << "what was erased is not lost";
  ring->Add(Error("e", 2));
  EXPECT_EQ(ring->overwritten(), 1U);
}

TEST(EventRing, ForgetsEverythingOnClear) {
  const OwnedRing ring(2);
  for (const char* id : {"a", "b", "c"}) ring->Add(Error(id, 1));
  ring->Clear();
  EXPECT_TRUE(ring.Ids().empty());
  EXPECT_EQ(ring->capacity(), 2U);
  EXPECT_EQ(ring->overwritten(), 0U);
  EXPECT_EQ(ring->overwritten_until(), 0);
  ring->Add(Error("d", 1));
  EXPECT_EQ(ring.Ids(), (std::vector<std::string>{"d"}));
}

}  // namespace
}  // namespace reqtrail
