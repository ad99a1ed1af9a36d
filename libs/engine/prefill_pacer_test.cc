// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prefill_pacer.h"

#include <gmock/gmock.h>

namespace dki::engine {
namespace {

TEST(PrefillPacerTest, PiecesAreSmallerBesideAnswers) {
  const PrefillPacer pacer({.max_tokens = 256, .slowdown = 2.0});
  EXPECT_EQ(pacer.Tokens(false), 256);
  EXPECT_EQ(pacer.Tokens(true), 64);
  EXPECT_EQ(PrefillPacer({.max_tokens = 8, .slowdown = 2.0}).Tokens(true), 8);
}

TEST(PrefillPacerTest, LayersFillTheTimeThatTheSlowdownLeaves) {
  PrefillPacer pacer({.max_tokens = 256, .slowdown = 3.0});
  EXPECT_EQ(pacer.Layers(1, 64), 1);  // nothing is known
  pacer.ObserveAnswers(1, 4e-3);
  pacer.ObserveLayers(64, 2, 64 * 2 * 20e-6);
  EXPECT_EQ(pacer.Layers(1, 64), 6);   // 8 ms; 1.28 ms a layer
  EXPECT_EQ(pacer.Layers(1, 16), 25);  // of a short piece more
  EXPECT_EQ(pacer.Layers(8, 64), 1);   // a step of 8 answers was not seen
  pacer.ObserveAnswers(8, 10e-3);
  EXPECT_EQ(pacer.Layers(8, 64), 15);
  for (int i = 0; i < 100; ++i) pacer.ObserveLayers(64, 1, 64 * 80e-6);  // contexts have grown
  EXPECT_EQ(pacer.Layers(1, 64), 1);
  EXPECT_NEAR(pacer.SecondsPerToken(30), 30 * 80e-6, 1e-6);
}

TEST(PrefillPacerTest, HoweverSlowAPromptGoesOn) {
  PrefillPacer pacer({.max_tokens = 256, .slowdown = 1.01});
  pacer.ObserveAnswers(1, 1e-3);
  pacer.ObserveLayers(64, 1, 10.0);
  EXPECT_EQ(pacer.Layers(1, 64), 1);
}

}  // namespace
}  // namespace dki::engine
