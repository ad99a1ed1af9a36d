// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/placement.h"

#include <gtest/gtest.h>

namespace dki::injection {
namespace {

TEST(PlacePackTest, BothEndsAreExact) {
  // alpha = 0: the turn sits where it sits without memory.
  EXPECT_EQ(PlacePack(100, 40, 0.0).turn_offset, 100.0);
  // alpha = 1 and above: as in the prompt.
  for (const double alpha : {1.0, 2.0, 16.0}) {
    EXPECT_EQ(PlacePack(100, 40, alpha).turn_offset, 140.0);
    EXPECT_EQ(PlacePack(100, 40, alpha).pack_offset, 100.0);
  }
}

TEST(PlacePackTest, ThePackAlwaysEndsWhereTheTurnBegins) {
  for (const double alpha : {0.0, 0.0001, 0.3, 0.9999, 1.5}) {
    const Placement placement = PlacePack(7, 33, alpha);
    EXPECT_DOUBLE_EQ(placement.pack_offset + 33, placement.turn_offset) << alpha;
  }
}

TEST(PlacePackTest, OffsetsAreRealAndGrowWithAlpha) {
  EXPECT_DOUBLE_EQ(PlacePack(10, 33, 0.5).turn_offset, 26.5);
  EXPECT_LT(PlacePack(10, 33, 0.2).turn_offset, PlacePack(10, 33, 0.21).turn_offset);
}

}  // namespace
}  // namespace dki::injection
