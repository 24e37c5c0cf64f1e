#include "core/incoming_id.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace reqtrail {
namespace {

using Headers = std::vector<std::pair<std::string_view, std::string_view>>;

constexpr std::string_view kTraceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

IncomingId Of(const Headers& headers) {
  IncomingId incoming("x-request-id");
  for (const auto& [name, value] : headers) incoming.Offer(name, value);
  return incoming;
}

TEST(IncomingId, IsTheOneOfTheHeader) {
  const IncomingId incoming = Of({{"host", "x"}, {"X-Request-ID", "abc"}, {"x-request-idea", "no"}});
  EXPECT_EQ(incoming.Id(), "abc");
  EXPECT_FALSE(incoming.IsRejected());
  EXPECT_FALSE(incoming.Trace());
}

TEST(IncomingId, WithoutAHeaderIsNoneAndNotRejected) {
  EXPECT_EQ(Of({}).Id(), "");
  EXPECT_FALSE(Of({{"host", "x"}}).IsRejected());
}

TEST(IncomingId, ThatIsNoIdOrIsThereTwiceIsRejected) {
  for (const Headers& headers : {Headers{{"x-request-id", ""}}, Headers{{"x-request-id", "a\r\nb: c"}},
                                 Headers{{"x-request-id", "a"}, {"X-REQUEST-ID", "a"}}}) {
    EXPECT_EQ(Of(headers).Id(), "");
    EXPECT_TRUE(Of(headers).IsRejected());
  }
}

TEST(IncomingId, TheTraceparentIsReadBesideIt) {
  const IncomingId incoming = Of({{"Traceparent", kTraceparent}, {"x-request-id", "abc"}});
  EXPECT_EQ(incoming.Id(), "abc");
  EXPECT_EQ(incoming.Trace().value_or(Traceparent{}).trace_id, "0af7651916cd43dd8448eb211c80319c");
}

TEST(IncomingId, ATraceparentThatIsNoneOrIsThereTwiceIsPassedOver) {
  EXPECT_FALSE(Of({{"traceparent", "00-x"}}).Trace());
  EXPECT_FALSE(Of({{"traceparent", kTraceparent}, {"traceparent", kTraceparent}}).Trace());
}

TEST(IncomingId, SaysWhatEachHeaderWasTakenFor) {
  IncomingId incoming("x-request-id");
  EXPECT_EQ(incoming.Offer("x-request-id", "a"), IncomingId::Header::kRequestId);
  EXPECT_EQ(incoming.Offer("traceparent", "a"), IncomingId::Header::kTraceparent);
  EXPECT_EQ(incoming.Offer("tracestate", "a"), IncomingId::Header::kOther);
}

TEST(ListsHeader, FindsWholeNamesInAnyCase) {
  EXPECT_TRUE(ListsHeader("X-Request-ID", "x-request-id"));
  EXPECT_TRUE(ListsHeader("a,\tx-request-id ,b", "x-request-id"));
  EXPECT_FALSE(ListsHeader("x-request-idea, a x-request-id", "x-request-id"));
  EXPECT_FALSE(ListsHeader("", "x-request-id"));
  EXPECT_FALSE(ListsHeader(",", "x-request-id"));
}

}  // namespace
}  // namespace reqtrail
