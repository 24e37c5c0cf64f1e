#include "metrics/accept.h"

#include <gtest/gtest.h>

#include <string>

namespace reqtrail {
namespace {

struct Case {
  const char* accept;
  ExpositionFormat expected;
};

class AcceptTest : public testing::TestWithParam<Case> {};

TEST_P(AcceptTest, ChoosesTheFormat) { EXPECT_EQ(ChooseFormat(GetParam().accept), GetParam().expected); }

constexpr ExpositionFormat kText = ExpositionFormat::kText;
constexpr ExpositionFormat kOpenMetrics = ExpositionFormat::kOpenMetrics;

INSTANTIATE_TEST_SUITE_P(
    Headers, AcceptTest,
    testing::Values(
        Case{"", kText}, Case{"*/*", kText}, Case{"text/html,application/xhtml+xml,*/*;q=0.8", kText},
        Case{"application/openmetrics-text", kOpenMetrics},
        Case{"Application/OpenMetrics-Text; Version=1.0.0", kOpenMetrics},
        Case{"application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", kOpenMetrics},
        Case{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
             "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
             kOpenMetrics},
        Case{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3",
             kOpenMetrics},
        Case{"application/openmetrics-text;q=0.3,text/plain;q=0.9", kText},
        Case{"application/openmetrics-text;q=0,text/plain;q=0", kText},
        Case{"application/openmetrics-text; version=2.0.0", kText}, Case{"application/openmetrics-text;q=x", kText},
        Case{"application/openmetrics-text;q=0.0001", kText}, Case{"application/openmetrics-text;q=1.5", kOpenMetrics},
        Case{",;=,;;q=,", kText}, Case{" , application/openmetrics-text ;q = 0.5 ", kOpenMetrics}));

TEST(ContentTypeTest, NamesFormatAndVersion) {
  EXPECT_EQ(ContentType(kText), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(ContentType(kOpenMetrics), "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

}  // namespace
}  // namespace reqtrail
