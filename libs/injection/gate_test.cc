// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/gate.h"

#include <gmock/gmock.h>

#include <cmath>

namespace dki::injection {
namespace {

using ::testing::ElementsAre;

TEST(DecideGateTest, PassesWhatReachesTheThreshold) {
  const GateDecision decision = DecideGate({}, std::vector<double>{0.30, 0.29999, 0.9, NAN});
  EXPECT_EQ(decision.reason, "inject");
  EXPECT_THAT(decision.passed, ElementsAre(true, false, true, false));
}

TEST(DecideGateTest, SaysWhyNothingIsInjected) {
  EXPECT_EQ(DecideGate({}, {}).reason, "no_memory");
  EXPECT_EQ(DecideGate({}, std::vector<double>{0.1, -0.5}).reason, "below_threshold");
}

TEST(DecideGateTest, ThresholdZeroMeansZero) {
  EXPECT_THAT(DecideGate({.threshold = 0}, std::vector<double>{0.0, -0.01}).passed,
              ElementsAre(true, false));
}

TEST(DecideGateTest, SwitchedOffPassesAll) {
  const GateDecision decision = DecideGate({.enabled = false}, std::vector<double>{-1.0, 0.5});
  EXPECT_EQ(decision.reason, "disabled");
  EXPECT_THAT(decision.passed, ElementsAre(true, true));
  EXPECT_EQ(DecideGate({.enabled = false}, {}).reason, "no_memory");
}

}  // namespace
}  // namespace dki::injection
