#include "pg_extension/shard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>

namespace reqtrail {
namespace {

constexpr std::uint64_t kSeed = 42;

RequestKey Key(const std::string& id, std::uint32_t database = 1, std::uint32_t role = 1) {
  RequestKey key;
  key.database = database;
  key.role = role;
  key.id.Assign(id);
  return key;
}

Work Done(std::int64_t statements, std::int64_t last_seen = 1) {
  Work work;
  work.counters.first_seen = last_seen;
  work.counters.last_seen = last_seen;
  work.counters.transactions = 1;
  work.counters.statements = statements;
  return work;
}

Work Failed(std::int64_t statements) {
  Work work = Done(statements);
  work.counters.errors = 1;
  return work;
}

std::uint64_t HashOf(const RequestKey& key) { return HashRequestId(key.id.View(), kSeed); }

/// A shard in memory of exactly its size, so that AddressSanitizer sees a step outside.
class OwnedShard {
 public:
  explicit OwnedShard(std::uint32_t capacity)
      : memory_(std::aligned_alloc(alignof(Shard), Shard::Bytes(capacity)), &std::free) {
    std::memset(memory_.get(), 0, Shard::Bytes(capacity));
    shard_ = Shard::Create(memory_.get(), capacity);
  }
  [[nodiscard]] Shard* get() const { return shard_; }
  Shard* operator->() const { return shard_; }
  Shard& operator*() const { return *shard_; }

  void Merge(const RequestKey& key, const Work& work, const Shard::Refuge& refuge = {}) const {
    shard_->Merge(key, HashOf(key), work, refuge);
  }

  /// statements of the record of `key`; -1: it is not held.
  [[nodiscard]] std::int64_t StatementsOf(const RequestKey& key) const {
    std::array<Record, 64> found;
    const std::size_t count = shard_->CopyMatches(key.id, HashOf(key), found.data(), found.size());
    for (std::size_t i = 0; i < count; ++i) {
      if (found.at(i).key.Equals(key)) return found.at(i).work.counters.statements;
    }
    return -1;
  }

 private:
  std::unique_ptr<void, void (*)(void*)> memory_;
  Shard* shard_;
};

TEST(Shard, StartsEmpty) {
  const OwnedShard shard(4);
  EXPECT_EQ(shard->totals().capacity, 4U);
  EXPECT_EQ(shard->totals().used, 0U);
  EXPECT_EQ(shard.StatementsOf(Key("a")), -1);
}

TEST(Shard, AddsUpWorkForTheSameKey) {
  const OwnedShard shard(4);
  Work first = Done(2, 100);
  first.counters.max_time = 7;
  Work second = Done(3, 50);
  second.counters.max_time = 5;
  shard.Merge(Key("a"), first);
  shard.Merge(Key("a"), second);
  ASSERT_EQ(shard->totals().used, 1U);
  const Counters& sum = shard->begin()->work.counters;
  EXPECT_EQ(sum.statements, 5);
  EXPECT_EQ(sum.transactions, 2);
  EXPECT_EQ(sum.max_time, 7);
  EXPECT_EQ(sum.first_seen, 50);
  EXPECT_EQ(sum.last_seen, 100);
  EXPECT_EQ(shard->totals().merged, 1U);
}

TEST(Shard, KeepsDatabasesAndRolesOfOneRequestApartAndFindsThemTogether) {
  const OwnedShard shard(8);
  shard.Merge(Key("a", 1, 1), Done(1));
  shard.Merge(Key("a", 1, 2), Done(2));
  shard.Merge(Key("a", 2, 1), Done(3));
  shard.Merge(Key("b", 1, 1), Done(4));
  std::array<Record, 2> some;
  EXPECT_EQ(shard->CopyMatches(Key("a").id, HashOf(Key("a")), some.data(), some.size()), 3U);
  EXPECT_EQ(shard.StatementsOf(Key("a", 1, 2)), 2);
  EXPECT_EQ(shard.StatementsOf(Key("a", 2, 1)), 3);
  EXPECT_EQ(shard.StatementsOf(Key("a", 2, 2)), -1);
}

TEST(Shard, OverwritesTheRecordThatCameFirst) {
  const OwnedShard shard(3);
  for (const char* id : {"a", "b", "c", "d"}) shard.Merge(Key(id), Done(1, 10 + id[0]));
  EXPECT_EQ(shard.StatementsOf(Key("a")), -1);
  for (const char* id : {"b", "c", "d"}) EXPECT_EQ(shard.StatementsOf(Key(id)), 1) << id;
  EXPECT_EQ(shard->totals().used, 3U);
  EXPECT_EQ(shard->totals().overwritten, 1U);
  EXPECT_EQ(shard->totals().overwritten_until, 10 + 'a');
}

TEST(Shard, ForgetsTheNumbersOfAnOverwrittenRecord) {
  const OwnedShard shard(1);
  shard.Merge(Key("a"), Done(5));
  shard.Merge(Key("b"), Done(1));
  shard.Merge(Key("a"), Done(2));
  EXPECT_EQ(shard.StatementsOf(Key("a")), 2);
}

TEST(Shard, SparesARecordThatIsStillInUse) {
  const OwnedShard shard(3);
  for (const char* id : {"busy", "b", "c"}) shard.Merge(Key(id), Done(1));
  for (int i = 0; i < 100; ++i) {
    shard.Merge(Key("busy"), Done(1));
    shard.Merge(Key("new" + std::to_string(i)), Done(1));
  }
  EXPECT_EQ(shard.StatementsOf(Key("busy")), 101);
}

TEST(Shard, TakesARecordAfterAFewSkipsWhenAllAreInUse) {
  const OwnedShard shard(64);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 64; ++i) shard.Merge(Key(std::to_string(i)), Done(1));
  }
  shard.Merge(Key("new"), Done(1));
  EXPECT_EQ(shard.StatementsOf(Key("new")), 1);
  EXPECT_EQ(shard.StatementsOf(Key(std::to_string(Shard::kSkipLimit))), -1);
  EXPECT_EQ(shard.StatementsOf(Key("0")), 2);
}

TEST(Shard, ForgetsEverythingOnClear) {
  const OwnedShard shard(3);
  for (const char* id : {"a", "b", "c", "d", "d"}) shard.Merge(Key(id), Done(1));
  shard->Clear();
  EXPECT_EQ(shard->totals().used, 0U);
  EXPECT_EQ(shard->totals().merged, 0U);
  EXPECT_EQ(shard->totals().overwritten, 0U);
  EXPECT_EQ(shard->totals().capacity, 3U);
  EXPECT_EQ(shard.StatementsOf(Key("d")), -1);
  shard.Merge(Key("d"), Done(7));
  EXPECT_EQ(shard.StatementsOf(Key("d")), 7);
}

TEST(Shard, HoldsAnIdOfTheGreatestLength) {
  const OwnedShard shard(2);
  const std::string longest(kRequestIdMaxBytes, 'x');
  shard.Merge(Key(longest), Done(1));
  EXPECT_EQ(shard.StatementsOf(Key(longest)), 1);
  EXPECT_EQ(shard.StatementsOf(Key(longest.substr(1))), -1);
}

TEST(Shard, GivesARefugeToWhatIsNotable) {
  constexpr std::int64_t kDuration = 1000;
  const OwnedShard shard(2);
  const OwnedShard notable(2);
  const Shard::Refuge refuge{.shard = notable.get(), .duration = kDuration};
  Work slow = Done(1);
  slow.counters.total_time = kDuration - 1;
  slow.counters.commit_time = 1;
  shard.Merge(Key("failed"), Failed(1), refuge);
  shard.Merge(Key("slow"), slow, refuge);
  for (const char* id : {"a", "b", "c"}) shard.Merge(Key(id), Done(1), refuge);
  EXPECT_EQ(notable.StatementsOf(Key("failed")), 1);
  EXPECT_EQ(notable.StatementsOf(Key("slow")), 1);
  EXPECT_EQ(shard->totals().overwritten, 1U);  // "a"
  EXPECT_EQ(notable->totals().used, 2U);
  // New work finds it there.
  shard.Merge(Key("failed"), Done(3), refuge);
  EXPECT_EQ(notable.StatementsOf(Key("failed")), 4);
  EXPECT_EQ(shard.StatementsOf(Key("failed")), -1);
}

TEST(Shard, LosesWhatIsNotableToOthersThatAre) {
  const OwnedShard shard(1);
  const OwnedShard notable(1);
  const Shard::Refuge refuge{.shard = notable.get(), .duration = 1000};
  for (const char* id : {"first", "second", "third"}) shard.Merge(Key(id), Failed(1), refuge);
  EXPECT_EQ(notable.StatementsOf(Key("first")), -1);
  EXPECT_EQ(notable.StatementsOf(Key("second")), 1);
  EXPECT_EQ(shard.StatementsOf(Key("third")), 1);
  EXPECT_EQ(notable->totals().overwritten, 1U);
  EXPECT_EQ(shard->totals().overwritten, 0U);
}

TEST(Shard, ErasesOneIdAndLeavesTheOthersFindable) {
  const OwnedShard shard(8);
  for (int i = 0; i < 8; ++i) shard.Merge(Key("id" + std::to_string(i / 2), 1, i % 2), Done(i));
  shard->Erase(Key("id1").id, HashOf(Key("id1")));
  EXPECT_EQ(shard->totals().used, 6U);
  EXPECT_EQ(shard->totals().overwritten, 0U);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(shard.StatementsOf(Key("id" + std::to_string(i / 2), 1, i % 2)), i / 2 == 1 ? -1 : i) << i;
  }
  shard->Erase(Key("none").id, HashOf(Key("none")));
  for (const char* id : {"a", "b", "c"}) shard.Merge(Key(id), Done(1));
  EXPECT_EQ(shard->totals().used, 8U);
  EXPECT_EQ(shard->totals().overwritten, 1U);
  for (const char* id : {"a", "b", "c"}) EXPECT_EQ(shard.StatementsOf(Key(id)), 1) << id;
}

TEST(Shard, GivesUpTheOldestFirstAlsoAfterOneWasErased) {
  const OwnedShard shard(6);
  for (const char* id : {"a", "b", "c", "d", "e", "f", "g", "h"}) shard.Merge(Key(id), Done(1));
  shard->Erase(Key("h").id, HashOf(Key("h")));
  std::string order;
  shard->ForEachInOrder([&order](const Record& record) { order += record.key.id.View(); });
  EXPECT_EQ(order.substr(0, 3), "cde");
  for (const char* id : {"i", "j", "k"}) shard.Merge(Key(id), Done(1));
  for (const char* id : {"c", "d"}) EXPECT_EQ(shard.StatementsOf(Key(id)), -1) << id;
  for (const char* id : {"e", "f", "g", "i", "j", "k"}) EXPECT_EQ(shard.StatementsOf(Key(id)), 1) << id;
}

/// The same ring told in the plainest way: a list of records in their places, and a map.
class Model {
 public:
  explicit Model(std::uint32_t capacity) : capacity_(capacity) {}

  void Merge(const RequestKey& key, const Work& work) {
    const Name name = NameOf(key);
    if (auto known = place_of_.find(name); known != place_of_.end()) {
      Place& place = places_.at(known->second);
      place.statements += work.counters.statements;
      place.referenced = true;
      return;
    }
    std::size_t number = places_.size();
    if (number < capacity_) {
      places_.emplace_back();
    } else {
      number = Advance();
      for (std::uint32_t skips = 0; places_[number].referenced && skips < Shard::kSkipLimit; ++skips) {
        places_[number].referenced = false;
        number = Advance();
      }
      place_of_.erase(places_[number].name);
      ++overwritten_;
    }
    places_[number] = {.name = name, .statements = work.counters.statements, .referenced = false};
    place_of_[name] = number;
  }
  [[nodiscard]] std::int64_t StatementsOf(const RequestKey& key) const {
    const auto known = place_of_.find(NameOf(key));
    return known == place_of_.end() ? -1 : places_.at(known->second).statements;
  }
  [[nodiscard]] std::size_t used() const { return places_.size(); }
  [[nodiscard]] std::uint64_t overwritten() const { return overwritten_; }

 private:
  using Name = std::tuple<std::string, std::uint32_t, std::uint32_t>;
  struct Place {
    Name name;
    std::int64_t statements = 0;
    bool referenced = false;
  };
  static Name NameOf(const RequestKey& key) { return {std::string(key.id.View()), key.database, key.role}; }
  std::size_t Advance() {
    const std::size_t number = hand_;
    hand_ = (hand_ + 1) % capacity_;
    return number;
  }

  std::size_t capacity_;
  std::size_t hand_ = 0;
  std::uint64_t overwritten_ = 0;
  std::deque<Place> places_;
  std::map<Name, std::size_t> place_of_;
};

/// Parameters: the shard's capacity; how many different keys come; how many different hashes they have (few: long
/// chains).
class ShardChurn : public testing::TestWithParam<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>> {};

TEST_P(ShardChurn, StaysExactUnderRandomWork) {
  const auto [capacity, keys, hashes] = GetParam();
  const OwnedShard shard(capacity);
  Model model(capacity);
  std::mt19937 random((capacity * 31) + keys);  // NOLINT(cert-msc32-c,cert-msc51-cpp): a failure must be repeatable
  const auto key_of = [&](std::uint32_t number) { return Key("id" + std::to_string(number / 2), 1 + (number % 2), 1); };
  // Few hashes also wrap around the end of the index.
  const auto hash_of = [&, hashes = hashes](const RequestKey& key) {
    return hashes == 0 ? HashOf(key) : 0xFFFFFFFFU - (HashOf(key) % hashes);
  };
  for (int step = 0; step < 20000; ++step) {
    const RequestKey key = key_of(static_cast<std::uint32_t>(random() % keys));
    const Work work = Done(static_cast<std::int64_t>(random() % 5));
    shard->Merge(key, hash_of(key), work, {});
    model.Merge(key, work);
    if (step % 97 != 0) continue;
    for (std::uint32_t number = 0; number < keys; ++number) {
      const RequestKey asked = key_of(number);
      std::array<Record, 2> found;
      const std::size_t count = shard->CopyMatches(asked.id, hash_of(asked), found.data(), found.size());
      const Record* const begin = found.data();
      const Record* const end = begin + count;
      const Record* const match =
          std::find_if(begin, end, [&](const Record& record) { return record.key.Equals(asked); });
      ASSERT_EQ(match == end ? -1 : match->work.counters.statements, model.StatementsOf(asked)) << "step " << step;
    }
  }
  EXPECT_EQ(shard->totals().used, model.used());
  EXPECT_EQ(shard->totals().overwritten, model.overwritten());
}

INSTANTIATE_TEST_SUITE_P(SmallAndFull, ShardChurn,
                         testing::Values(std::tuple{1, 4, 0}, std::tuple{2, 9, 0}, std::tuple{3, 9, 1},
                                         std::tuple{8, 40, 0}, std::tuple{8, 40, 3}, std::tuple{33, 100, 0},
                                         std::tuple{33, 100, 7}, std::tuple{128, 200, 0}, std::tuple{128, 100, 2}));

TEST(RequestKeyHash, SpreadsUuidsEvenlyOverShards) {
  std::array<int, 128> hits{};
  for (int i = 0; i < 128 * 200; ++i) {
    const std::string number = std::to_string(i);
    const std::string id = "4f1c2b6e-8d0a-4f7e-9b1a-" + std::string(12 - number.size(), '0') + number;
    ++hits.at((HashRequestId(id, kSeed) >> 32U) % hits.size());
  }
  EXPECT_GT(*std::ranges::min_element(hits), 130);
  EXPECT_LT(*std::ranges::max_element(hits), 270);
}

TEST(RequestKeyHash, DependsOnTheSeedAndOnEachByte) {
  const std::string id = "4f1c2b6e-8d0a-4f7e-9b1a-000000000001";
  EXPECT_NE(HashRequestId(id, 1), HashRequestId(id, 2));
  for (std::size_t i = 0; i < id.size(); ++i) {
    std::string other = id;
    other[i] = other[i] == 'x' ? 'y' : 'x';
    EXPECT_NE(HashRequestId(id, 1), HashRequestId(other, 1)) << i;
    EXPECT_NE(HashRequestId(id, 1), HashRequestId(id.substr(0, i), 1)) << i;
  }
}

}  // namespace
}  // namespace reqtrail
