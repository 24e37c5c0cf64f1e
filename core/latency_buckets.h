#pragma once

#include <array>

namespace reqtrail {

/// Upper bounds, in seconds, of the buckets of latency histograms; +Inf comes after them. They are those of
/// prometheus_client, so that dashboards made for it keep working.
inline constexpr std::array<double, 14> kLatencyBuckets = {.005, .01, .025, .05, .075, .1,  .25,
                                                           .5,   .75, 1.0,  2.5, 5.0,  7.5, 10.0};

}  // namespace reqtrail
