#include "metrics/names.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace reqtrail {
namespace {

TEST(NamesTest, MetricNamesAreThoseOfPrometheus) {
  for (const char* name : {"a", "_a", ":a", "job:requests:rate5m", "a_1", "A"}) EXPECT_TRUE(IsMetricName(name)) << name;
  for (const char* name : {"", "1a", "a-b", "a b", "a.b", "\xC3\xA4", "a\n"}) EXPECT_FALSE(IsMetricName(name)) << name;
}

TEST(NamesTest, LabelNamesHaveNoColonAndNoLeadingDoubleUnderscore) {
  for (const char* name : {"a", "_a", "method", "a__b", "A1"}) EXPECT_TRUE(IsLabelName(name)) << name;
  for (const char* name : {"", "1a", "a:b", "__a", "a-b"}) EXPECT_FALSE(IsLabelName(name)) << name;
}

TEST(NamesTest, AServiceNameCannotLeaveItsDirectory) {
  for (const char* name : {"api", "api-1.2_x", "A"}) EXPECT_TRUE(IsServiceName(name)) << name;
  for (const char* name : {"", ".", "..", ".hidden", "a/b", "../a", "a b", "a\n"})
    EXPECT_FALSE(IsServiceName(name)) << name;
  EXPECT_TRUE(IsServiceName(std::string(100, 'a')));
  EXPECT_FALSE(IsServiceName(std::string(101, 'a')));
}

TEST(NamesTest, WhatIsWrongWithLabelNamesIsSaid) {
  using Names = std::vector<std::string_view>;
  EXPECT_FALSE(LabelNamesFault(Names{"a", "b"}, "le"));
  EXPECT_EQ(LabelNamesFault(Names{"a", "le"}, "le"), "Reserved label metric name: 'le'");
  EXPECT_FALSE(LabelNamesFault(Names{"le"}, ""));
  EXPECT_EQ(LabelNamesFault(Names{"__a"}, ""), "Reserved label metric name: '__a'");
  EXPECT_EQ(LabelNamesFault(Names{"a b"}, ""), "Invalid label metric name: 'a b'");
  EXPECT_EQ(LabelNamesFault(Names{"a", "b", "a"}, ""), "Duplicate label metric name: 'a'");
}

TEST(NamesTest, BoundsAscendAndAreFinite) {
  using Bounds = std::vector<double>;
  EXPECT_FALSE(BoundsFault(Bounds{-1, 0, 2.5}));
  EXPECT_TRUE(BoundsFault(Bounds{}));
  EXPECT_TRUE(BoundsFault(Bounds{1, 1}));
  EXPECT_TRUE(BoundsFault(Bounds{2, 1}));
  EXPECT_TRUE(BoundsFault(Bounds{1, std::numeric_limits<double>::infinity()}));
  EXPECT_TRUE(BoundsFault(Bounds{std::numeric_limits<double>::quiet_NaN()}));
}

}  // namespace
}  // namespace reqtrail
