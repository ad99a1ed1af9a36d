// SPDX-License-Identifier: Apache-2.0
#include "libs/telemetry/metrics.h"

#include <gmock/gmock.h>

namespace dki::telemetry {
namespace {

TEST(MetricsTest, SameNameAndLabelsAreOneObject) {
  Metrics metrics;
  Counter* counter = metrics.GetCounter("dki_a_total", "A.", {{"x", "1"}});
  counter->Increment();
  counter->Increment(2);
  EXPECT_EQ(metrics.GetCounter("dki_a_total", "A.", {{"x", "1"}}), counter);
  EXPECT_NE(metrics.GetCounter("dki_a_total", "A.", {{"x", "2"}}), counter);
  EXPECT_EQ(counter->value(), 3);
}

TEST(MetricsTest, ExposesAllThreeKinds) {
  Metrics metrics;
  metrics.GetCounter("dki_a_total", "A.", {{"x", "1"}})->Increment(3);
  metrics.GetGauge("dki_b", "B.")->Set(1.5);
  metrics.GetHistogram("dki_c_seconds", "C.")->Observe(0.002);
  const std::string text = metrics.Expose();
  EXPECT_THAT(text, ::testing::HasSubstr("# HELP dki_a_total A."));
  EXPECT_THAT(text, ::testing::HasSubstr("dki_a_total{x=\"1\"} 3"));
  EXPECT_THAT(text, ::testing::HasSubstr("dki_b 1.5"));
  EXPECT_THAT(text, ::testing::HasSubstr("dki_c_seconds_bucket{le=\"0.0025\"} 1"));
  EXPECT_THAT(text, ::testing::HasSubstr("dki_c_seconds_bucket{le=\"0.001\"} 0"));
}

}  // namespace
}  // namespace dki::telemetry
