// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prefill_pacer.h"

#include <gmock/gmock.h>

namespace dki::engine {
namespace {

// A machine on which an answer's row takes 4 ms and a prompt's token 0.5 ms.
double StepSeconds(int prompt_tokens, int n_answers) {
  return (n_answers > 0 ? 4e-3 : 0.0) + 0.5e-3 * prompt_tokens;
}

TEST(PrefillPacerTest, AloneAPromptIsReadInLargePieces) {
  PrefillPacer pacer({.max_tokens = 256, .slowdown = 2.0});
  EXPECT_EQ(pacer.Budget(0), 256);
  pacer.Observe(256, 0, 10.0);
  EXPECT_EQ(pacer.Budget(0), 256);
}

TEST(PrefillPacerTest, BesideAnswersTheStepStaysWithinTheSlowdown) {
  PrefillPacer pacer({.max_tokens = 256, .slowdown = 2.0});
  EXPECT_EQ(pacer.Budget(1), 0);  // first it must be known what a step takes without
  pacer.Observe(0, 1, StepSeconds(0, 1));
  int steps_without = 0;
  for (int step = 0; step < 100; ++step) {
    const int n = pacer.Budget(1);
    if (n == 0) ++steps_without;
    if (step > 20) {
      EXPECT_LE(StepSeconds(n, 1), 2.05 * StepSeconds(0, 1));
      EXPECT_TRUE(n == 0 || n >= 7) << n;
    }
    pacer.Observe(n, 1, StepSeconds(n, 1));
  }
  EXPECT_GE(steps_without, 2);  // and again, now and then
  EXPECT_LE(steps_without, 5);
  EXPECT_EQ(pacer.Budget(2), 0);  // another number of answers is another step
}

TEST(PrefillPacerTest, HoweverSlowAPromptGoesOn) {
  PrefillPacer pacer({.max_tokens = 256, .slowdown = 1.01});
  pacer.Observe(256, 0, 100.0);
  pacer.Observe(0, 1, 1e-3);
  EXPECT_EQ(pacer.Budget(1), 4);
}

}  // namespace
}  // namespace dki::engine
