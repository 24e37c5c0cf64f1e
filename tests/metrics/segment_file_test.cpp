#include "metrics/segment_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "metrics/segment_directory.h"
#include "tests/metrics/child_process.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

namespace fs = std::filesystem;

constexpr FamilySpec kHits = {.name = "hits", .help = "Hits"};

class SegmentFileTest : public testing::Test {
 protected:
  [[nodiscard]] static double HitsOf(Segment& segment) { return CounterOf(FamilyOrFail(segment, kHits), {}).Value(); }

  static void HitOnce(Segment& segment) { EXPECT_TRUE(CounterOf(FamilyOrFail(segment, kHits), {}).Inc()); }

  void WriteFile(const std::string& content) const { std::ofstream(file_, std::ios::binary) << content; }

  // What was there is no segment: it must be renamed and counted, and the new one must work.
  void ExpectSetAside() const {
    const std::unique_ptr<Segment> segment = OpenOrFail(options_);
    ASSERT_TRUE(segment);
    EXPECT_EQ(segment->set_aside(), 1U);
    HitOnce(*segment);
    EXPECT_EQ(HitsOf(*segment), 1);
    EXPECT_EQ(BadFiles().size(), 1U);
  }

  [[nodiscard]] std::vector<std::string> BadFiles() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("test.metrics.bad-")) names.push_back(name);
    }
    return names;
  }

  [[nodiscard]] MetricsError Refusal() const {
    const Result<std::unique_ptr<Segment>> segment = Segment::Open(options_);
    EXPECT_FALSE(segment.ok());
    return segment.ok() ? MetricsError{} : segment.error();
  }

  TemporaryDirectory directory_;
  SegmentOptions options_ = OptionsIn(directory_);
  std::string file_ = directory_.Join("test.metrics");
};

TEST_F(SegmentFileTest, ItsFileIsPrivateAndSparse) {
  const std::unique_ptr<Segment> segment = OpenOrFail(options_);
  struct stat status = {};
  ASSERT_EQ(::stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(status.st_size, 8 << 20);
  EXPECT_LE(status.st_blocks * 512, 1 << 20);
}

TEST_F(SegmentFileTest, AMissingDirectoryIsMadePrivate) {
  options_.directory = directory_.Join("made");
  const std::unique_ptr<Segment> segment = OpenOrFail(options_);
  struct stat status = {};
  ASSERT_EQ(::stat(options_.directory.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

TEST_F(SegmentFileTest, StartsAfreshWhenNobodyIsAlive) {
  HitOnce(*OpenOrFail(options_));
  EXPECT_EQ(HitsOf(*OpenOrFail(options_)), 0);
  EXPECT_TRUE(BadFiles().empty()) << "an ended service is nothing to report";
}

TEST_F(SegmentFileTest, IsKeptWhileSomebodyIsAlive) {
  const std::unique_ptr<Segment> alive = OpenOrFail(options_);
  HitOnce(*OpenOrFail(options_));
  EXPECT_EQ(HitsOf(*OpenOrFail(options_)), 1);
}

TEST_F(SegmentFileTest, AForkedChildKeepsItAlive) {
  std::unique_ptr<Segment> segment = OpenOrFail(options_);
  HitOnce(*segment);
  ChildProcess child([] { ::pause(); });
  segment.reset();
  EXPECT_EQ(HitsOf(*OpenOrFail(options_)), 1);
  child.Kill();
  EXPECT_EQ(HitsOf(*OpenOrFail(options_)), 0) << "kill -9 lets go of it";
}

TEST_F(SegmentFileTest, AnEmptyFileIsSetAside) {
  WriteFile("");
  ExpectSetAside();
}

TEST_F(SegmentFileTest, AForeignFileIsSetAside) {
  WriteFile(std::string(1 << 20, 'x'));
  ExpectSetAside();
}

TEST_F(SegmentFileTest, ATruncatedSegmentIsSetAside) {
  OpenOrFail(options_).reset();
  fs::resize_file(file_, 5000);
  ExpectSetAside();
}

TEST_F(SegmentFileTest, ASegmentOfAnotherVersionIsSetAsideEvenWhileItIsInUse) {
  const std::unique_ptr<Segment> other_version = OpenOrFail(options_);
  {
    std::fstream stream(file_, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(offsetof(SegmentConstants, version));
    stream.put(static_cast<char>(99));
  }
  ExpectSetAside();
  HitOnce(*other_version);
  EXPECT_EQ(HitsOf(*other_version), 1) << "who uses the old one goes on";
}

TEST_F(SegmentFileTest, OnlyTheNewestUnusableFileIsKept) {
  std::ofstream(directory_.Join("test.metrics.bad-1")) << "old";
  WriteFile("foreign");
  ExpectSetAside();
  EXPECT_FALSE(fs::exists(directory_.Join("test.metrics.bad-1")));
}

TEST_F(SegmentFileTest, ASymbolicLinkIsNotFollowed) {
  const std::string target = directory_.Join("target");
  std::ofstream(target) << "precious";
  fs::create_symlink(target, file_);
  EXPECT_EQ(Refusal().fault, MetricsFault::kUnsafe);
  fs::remove(file_);
  fs::remove(directory_.Join("test.lock"));
  fs::create_symlink(target, directory_.Join("test.lock"));
  EXPECT_EQ(Refusal().fault, MetricsFault::kUnsafe);
  EXPECT_EQ(fs::file_size(target), 8U);
}

TEST_F(SegmentFileTest, AFileWithASecondNameIsRefused) {
  WriteFile("x");
  fs::create_hard_link(file_, directory_.Join("second"));
  EXPECT_EQ(Refusal().fault, MetricsFault::kUnsafe);
}

TEST_F(SegmentFileTest, AFifoDoesNotBlock) {
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  EXPECT_EQ(Refusal().fault, MetricsFault::kUnsafe);
}

TEST_F(SegmentFileTest, ADirectoryThatEverybodyMayWriteToIsRefusedUnlessSticky) {
  fs::permissions(directory_.path(), fs::perms::all);
  EXPECT_EQ(Refusal().fault, MetricsFault::kUnsafe);
  fs::permissions(directory_.path(), fs::perms::all | fs::perms::sticky_bit);
  EXPECT_TRUE(OpenOrFail(options_));
}

TEST_F(SegmentFileTest, ADirectoryThatCannotBeMadeIsNamed) {
  options_.directory = directory_.Join("no/parent");
  const MetricsError refusal = Refusal();
  EXPECT_EQ(refusal.fault, MetricsFault::kSystem);
  EXPECT_EQ(refusal.os_error, ENOENT);
  EXPECT_NE(refusal.message.find(options_.directory), std::string::npos);
}

TEST_F(SegmentFileTest, AServiceNameThatIsNoFileNameIsRefused) {
  options_.service = "../evil";
  EXPECT_EQ(Refusal().fault, MetricsFault::kInvalid);
}

TEST_F(SegmentFileTest, LimitsThatMakeNoSenseAreRefused) {
  options_.max_series = 0;
  EXPECT_EQ(Refusal().fault, MetricsFault::kInvalid);
  options_.max_series = 1'000'000;  // its table alone does not fit
  EXPECT_EQ(Refusal().fault, MetricsFault::kInvalid);
}

TEST_F(SegmentFileTest, WithoutRoomForTheFileAnErrorIsReturnedAndNothingLeft) {
  const int status = ChildProcess([this] {
                       (void)::signal(SIGXFSZ, SIG_IGN);
                       const rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
                       ::setrlimit(RLIMIT_FSIZE, &limit);
                       const Result<std::unique_ptr<Segment>> segment = Segment::Open(options_);
                       ::_exit(!segment.ok() && segment.error().os_error == EFBIG ? 0 : 1);
                     }).Wait();
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(fs::exists(file_));
  EXPECT_FALSE(fs::exists(file_ + ".new"));
}

TEST_F(SegmentFileTest, AFullDiskAtRegistrationCostsTheSeriesNotTheProcess) {
  struct statvfs disk = {};
  ASSERT_EQ(::statvfs(directory_.path().c_str(), &disk), 0);
  const std::uint64_t disk_bytes = disk.f_blocks * disk.f_frsize;
  options_.capacity_bytes = AlignUp(disk_bytes + (16UL << 20U), kClaimBytes);
  Result<SegmentFile> file = SegmentFile::Open(options_);
  ASSERT_TRUE(file.ok()) << file.error().message;
  SegmentHeader& header = file.value().header();
  Segment segment(std::move(file).value());
  constexpr std::array<std::string_view, 1> kLabels = {"path"};
  const Family family = FamilyOrFail(segment, {.name = "labelled", .label_names = kLabels});

  header.next_free.store(options_.capacity_bytes - (8UL << 20U));  // what comes next needs more than the disk has
  const CounterHandle counter = CounterOf(family, {"/"});
  EXPECT_TRUE(counter.Inc());
  EXPECT_TRUE(family.IsOverflow(counter));
  EXPECT_EQ(segment.series_dropped(), 1U);
  const Result<Family> refused = segment.GetOrCreateFamily({.name = "another"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().os_error, ENOSPC);
}

TEST(PrivateDirectoryTest, MustBelongToTheUserAndBeClosedToOthers) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(OpenPrivateDirectory(directory.path()).ok());
  fs::permissions(directory.path(), fs::perms::group_read, fs::perm_options::add);
  EXPECT_EQ(OpenPrivateDirectory(directory.path()).error().fault, MetricsFault::kUnsafe);

  std::string of_another_user = "/usr";
  if (::geteuid() == 0) {
    of_another_user = directory.Join("theirs");
    ASSERT_EQ(::mkdir(of_another_user.c_str(), 0700), 0);
    ASSERT_EQ(::chown(of_another_user.c_str(), 1, 1), 0);
  }
  EXPECT_EQ(OpenPrivateDirectory(of_another_user).error().fault, MetricsFault::kUnsafe);
}

TEST(PrivateDirectoryTest, ASymbolicLinkIsRefused) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::mkdir(directory.Join("real").c_str(), 0700), 0);
  fs::create_symlink(directory.Join("real"), directory.Join("link"));
  EXPECT_EQ(OpenPrivateDirectory(directory.Join("link")).error().fault, MetricsFault::kUnsafe);
}

TEST(SegmentDirectoryTest, TheEnvironmentNamesItUnlessTheCallerDoes) {
  const TemporaryDirectory directory;
  const std::string named = directory.Join("from-environment");
  ::setenv("REQTRAIL_METRICS_DIR", named.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): there is one thread
  EXPECT_EQ(OpenSegmentDirectory("").value().path, named);
  EXPECT_EQ(OpenSegmentDirectory(directory.path()).value().path, directory.path());
  ::unsetenv("REQTRAIL_METRICS_DIR");  // NOLINT(concurrency-mt-unsafe): there is one thread
}

}  // namespace
}  // namespace reqtrail
