#include "pg_extension/top_statements.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace reqtrail {
namespace {

constexpr std::int64_t kMillisecond = 1'000'000;

StatementWork Call(std::uint64_t queryid, std::int64_t time = kMillisecond, std::uint32_t rows = 1) {
  return {.queryid = queryid, .total_time = time, .calls = 1, .rows = rows, .max_time = static_cast<float>(time)};
}

const StatementWork* Find(const TopStatements& statements, std::uint64_t queryid) {
  const auto all = statements.All();
  const auto found = std::ranges::find(all, queryid, &StatementWork::queryid);
  return found == all.end() ? nullptr : &*found;
}

TEST(TopStatements, AddsUpTheCallsOfEachStatement) {
  TopStatements statements;
  EXPECT_EQ(statements.Add(Call(1, 2 * kMillisecond)), 0U);
  EXPECT_EQ(statements.Add(Call(2)), 0U);
  EXPECT_EQ(statements.Add(Call(1, 5 * kMillisecond, 3)), 0U);
  ASSERT_EQ(statements.All().size(), 2U);
  const StatementWork* first = Find(statements, 1);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->calls, 2U);
  EXPECT_EQ(first->rows, 4U);
  EXPECT_EQ(first->total_time, 7 * kMillisecond);
  EXPECT_EQ(first->max_time, static_cast<float>(5 * kMillisecond));
  EXPECT_EQ(statements.Longest(), first);
}

TEST(TopStatements, KnowsNoLongestOfNone) {
  TopStatements statements;
  EXPECT_EQ(statements.Longest(), nullptr);
  statements.Add(Call(1));
  statements.Clear();
  EXPECT_EQ(statements.Longest(), nullptr);
  EXPECT_TRUE(statements.All().empty());
}

TEST(TopStatements, TellsHowManyCallsGaveWay) {
  TopStatements statements;
  for (std::uint64_t queryid = 1; queryid <= TopStatements::kPlaces; ++queryid) {
    statements.Add(Call(queryid, 10 * kMillisecond));
  }
  statements.Add(Call(3));
  EXPECT_EQ(statements.Add(Call(100)), 1U);
  EXPECT_NE(Find(statements, 3), nullptr);
  EXPECT_NE(Find(statements, 100), nullptr);
  EXPECT_EQ(statements.All().size(), TopStatements::kPlaces);
}

TEST(TopStatements, KeepsAnNPlusOneAmongManyOtherStatements) {
  TopStatements statements;
  std::uint64_t dropped = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    dropped += statements.Add(Call(7, kMillisecond / 20));
    dropped += statements.Add(Call(1000 + i, kMillisecond / 20));
  }
  const StatementWork* repeated = Find(statements, 7);
  ASSERT_NE(repeated, nullptr);
  EXPECT_EQ(repeated->calls, 300U);
  std::uint64_t kept = 0;
  for (const StatementWork& statement : statements.All()) kept += statement.calls;
  EXPECT_EQ(kept + dropped, 600U);
}

TEST(TopStatements, KeepsWhatWeighsMoreThanAnEighthOfTheWhole) {
  std::mt19937 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): a failure must be repeatable
  for (int round = 0; round < 200; ++round) {
    TopStatements statements;
    std::vector<std::uint64_t> calls(200);
    for (std::uint64_t& queryid : calls) queryid = random() % 6 == 0 ? 7 : 100 + (random() % 50);
    const auto heavy = static_cast<std::size_t>(std::ranges::count(calls, 7U));
    for (const std::uint64_t queryid : calls) statements.Add(Call(queryid));
    if (heavy * TopStatements::kPlaces > calls.size()) {
      EXPECT_NE(Find(statements, 7), nullptr) << "round " << round << ", " << heavy << " calls";
    }
  }
}

TEST(TopStatements, MergesTwoAsIfAllHadComeToOne) {
  TopStatements first;
  TopStatements second;
  for (std::uint64_t queryid = 1; queryid <= 6; ++queryid) first.Add(Call(queryid));
  for (std::uint64_t queryid = 5; queryid <= 10; ++queryid) second.Add(Call(queryid, 3 * kMillisecond));
  const std::uint64_t dropped = first.Add(second);
  EXPECT_EQ(dropped, 2U);
  EXPECT_EQ(first.All().size(), TopStatements::kPlaces);
  ASSERT_NE(Find(first, 5), nullptr);
  EXPECT_EQ(Find(first, 5)->calls, 2U);
  for (std::uint64_t queryid = 7; queryid <= 10; ++queryid) EXPECT_NE(Find(first, queryid), nullptr) << queryid;
}

TEST(TopStatements, StaysAtTheLargestNumberRatherThanStartAgain) {
  TopStatements statements;
  statements.Add(Call(1, 1, std::numeric_limits<std::uint32_t>::max()));
  statements.Add(Call(1, 1, 5));
  EXPECT_EQ(statements.All().front().rows, std::numeric_limits<std::uint32_t>::max());
}

TEST(TopStatements, CopiesWhatIsInUse) {
  TopStatements statements;
  statements.Add(Call(1));
  statements.Add(Call(2));
  TopStatements copy;
  for (std::uint64_t queryid = 11; queryid < 15; ++queryid) copy.Add(Call(queryid));
  copy.Assign(statements);
  EXPECT_EQ(copy.All().size(), 2U);
  EXPECT_NE(Find(copy, 2), nullptr);
  EXPECT_EQ(Find(copy, 13), nullptr);
  EXPECT_TRUE(copy.IsValid());
}

}  // namespace
}  // namespace reqtrail
