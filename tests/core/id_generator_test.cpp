#include "core/id_generator.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/request_id.h"

namespace reqtrail {
namespace {

std::string NewId() {
  const UuidText id = GenerateUuid4();
  return {id.data(), id.size()};
}

/// Ids that a forked child generates, as it wrote them into a pipe.
std::vector<std::string> IdsOfAChild(int count) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < count; ++i) {
      const UuidText id = GenerateUuid4();
      if (write(ends[1], id.data(), id.size()) != static_cast<ssize_t>(id.size())) _exit(1);
    }
    _exit(0);
  }
  close(ends[1]);
  std::vector<std::string> ids;
  UuidText id;
  while (read(ends[0], id.data(), id.size()) == static_cast<ssize_t>(id.size())) ids.emplace_back(id.data(), id.size());
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return ids;
}

TEST(GenerateUuid4, HasTheShapeOfAVersion4Uuid) {
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewId();
    ASSERT_EQ(id.size(), 36U);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef-"), std::string::npos) << id;
    for (const std::size_t at : {8U, 13U, 18U, 23U}) EXPECT_EQ(id[at], '-') << id;
    EXPECT_EQ(id[14], '4') << id;
    EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos) << id;
    EXPECT_TRUE(IsRequestId(id));
  }
}

TEST(GenerateUuid4, NeverRepeatsWithinAProcess) {
  std::set<std::string> seen;
  for (int i = 0; i < 100'000; ++i) EXPECT_TRUE(seen.insert(NewId()).second);
}

TEST(GenerateUuid4, NeverRepeatsAcrossAFork) {
  (void)NewId();  // so that the parent holds an unfinished block for the children to inherit
  std::set<std::string> seen;
  for (int child = 0; child < 4; ++child) {
    const std::vector<std::string> ids = IdsOfAChild(200);
    EXPECT_EQ(ids.size(), 200U);
    for (const std::string& id : ids) EXPECT_TRUE(seen.insert(id).second) << id;
  }
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(seen.insert(NewId()).second);
}

TEST(GenerateUuid4, NeverRepeatsAcrossThreads) {
  std::vector<std::vector<std::string>> ids(8);
  std::vector<std::thread> threads;
  threads.reserve(ids.size());
  for (auto& mine : ids) {
    threads.emplace_back([&mine] {
      for (int i = 0; i < 5000; ++i) mine.push_back(NewId());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> seen;
  for (const auto& mine : ids) {
    for (const std::string& id : mine) EXPECT_TRUE(seen.insert(id).second);
  }
}

std::string NewId7() {
  const UuidText id = GenerateUuid7();
  return {id.data(), id.size()};
}

// The milliseconds since 1970 that such an id begins with.
std::int64_t MsOf(const std::string& id7) { return std::stoll(id7.substr(0, 8) + id7.substr(9, 4), nullptr, 16); }

std::int64_t NowMs() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch()).count();
}

TEST(GenerateUuid7, HasTheShapeOfAVersion7Uuid) {
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewId7();
    ASSERT_EQ(id.size(), 36U);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef-"), std::string::npos) << id;
    for (const std::size_t at : {8U, 13U, 18U, 23U}) EXPECT_EQ(id[at], '-') << id;
    EXPECT_EQ(id[14], '7') << id;
    EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos) << id;
    EXPECT_TRUE(IsRequestId(id));
  }
}

TEST(GenerateUuid7, BeginsWithTheTime) {
  const std::int64_t before = NowMs();
  const std::string id = NewId7();
  EXPECT_LE(before, MsOf(id));
  EXPECT_LE(MsOf(id), NowMs());
}

TEST(GenerateUuid7, SortsByTheTimeOfItsMakingWithinAMillisecondToo) {
  std::string last = NewId7();
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(10));
    const std::string id = NewId7();
    EXPECT_LT(last, id);
    last = id;
  }
}

TEST(GenerateUuid7, NeverRepeats) {
  std::set<std::string> seen;
  for (int i = 0; i < 100'000; ++i) EXPECT_TRUE(seen.insert(NewId7()).second);
}

}  // namespace
}  // namespace reqtrail
