#include "metrics/collectable.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>

#include "metrics/unique_fd.h"
#include "tests/metrics/temporary_segment.h"

namespace reqtrail {
namespace {

constexpr std::array<std::string_view, 1> kLabels = {"path"};
constexpr std::array<double, 2> kBounds = {1, 2.5};

std::unique_ptr<Segment> SegmentOfAllTypes(const TemporaryDirectory& directory) {
  std::unique_ptr<Segment> segment = OpenOrFail(OptionsIn(directory));
  const std::array<std::string_view, 1> path = {"/"};
  FamilyOrFail(*segment, {.name = "hits", .help = "Hits", .label_names = kLabels}).Counter(path).Inc(3);
  FamilyOrFail(*segment, {.name = "depth", .type = MetricType::kGauge}).Gauge({}).Set(-1.5);
  const HistogramHandle wait =
      FamilyOrFail(*segment, {.name = "wait", .type = MetricType::kHistogram, .bounds = kBounds}).Histogram({});
  for (const double value : {0.5, 2.0, 7.0}) wait.Observe(value);
  FamilyOrFail(*segment, {.name = "size", .type = MetricType::kSummary}).Histogram({}).Observe(4);
  const std::array<Family::Pair, 1> pairs = {Family::Pair{"version", "1"}};
  EXPECT_TRUE(FamilyOrFail(*segment, {.name = "build", .type = MetricType::kInfo}).SetInfo({}, pairs).ok());
  FamilyOrFail(*segment, {.name = "reqtrail_internal_x", .type = MetricType::kGauge}).Gauge({}).Set(1);
  return segment;
}

// What an HTTP server on this port answers to GET /metrics.
std::string Get(int port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  constexpr std::string_view kRequest = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(::send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL), static_cast<ssize_t>(kRequest.size()));
  std::string answer;
  std::array<char, 4096> part{};
  for (ssize_t bytes = 1; bytes > 0;) {
    bytes = ::recv(fd.get(), part.data(), part.size(), 0);
    if (bytes > 0) answer.append(part.data(), static_cast<std::size_t>(bytes));
  }
  return answer;
}

TEST(SegmentCollectableTest, PrometheusCppWritesWhatTheSegmentHas) {
  const TemporaryDirectory directory;
  const std::unique_ptr<Segment> segment = SegmentOfAllTypes(directory);
  const std::string text = prometheus::TextSerializer().Serialize(SegmentCollectable(*segment).Collect());
  for (const char* line :
       {"# TYPE hits_total counter\nhits_total{path=\"/\"} 3\n", "# TYPE depth gauge\ndepth -1.5\n", "wait_count 3\n",
        "wait_sum 9.5\n", "wait_bucket{le=\"1\"} 1\n", "wait_bucket{le=\"2.5\"} 2\n", "wait_bucket{le=\"+Inf\"} 3\n",
        "size_count 1\n", "size_sum 4\n", "build_info{version=\"1\"} 1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << " is not in\n" << text;
  }
  EXPECT_EQ(text.find("reqtrail_internal"), std::string::npos);
}

TEST(SegmentCollectableTest, AnExposerShowsItBesideSeriesOfPrometheusCpp) {
  const TemporaryDirectory directory;
  const std::unique_ptr<Segment> segment = SegmentOfAllTypes(directory);
  const auto ours = std::make_shared<SegmentCollectable>(*segment);
  const auto theirs = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter().Name("theirs_total").Register(*theirs).Add({}).Increment();
  prometheus::Exposer exposer("127.0.0.1:0", 1);
  exposer.RegisterCollectable(ours);
  exposer.RegisterCollectable(theirs);
  const std::string answer = Get(exposer.GetListeningPorts().at(0));
  EXPECT_NE(answer.find("hits_total{path=\"/\"} 3\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("theirs_total 1\n"), std::string::npos) << answer;
}

}  // namespace
}  // namespace reqtrail
