// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/fit_pack.h"

#include <gtest/gtest.h>

namespace dki::injection {
namespace {

TEST(FitPackTest, DropsTheWorstRankedFirstAndKeepsTheOrder) {
  const FitCandidate memories[] = {{10, 2}, {10, 0}, {10, 3}, {10, 1}};
  EXPECT_EQ(FitPack(memories, 40), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(FitPack(memories, 39), (std::vector<int>{0, 1, 3}));
  EXPECT_EQ(FitPack(memories, 20), (std::vector<int>{1, 3}));
  EXPECT_EQ(FitPack(memories, 9), (std::vector<int>{}));
  EXPECT_EQ(FitPack(memories, -5), (std::vector<int>{}));
}

TEST(FitPackTest, ABetterRankedOneIsNeverDroppedForAWorseOne) {
  const FitCandidate memories[] = {{100, 0}, {1, 1}};
  EXPECT_EQ(FitPack(memories, 50), (std::vector<int>{}));
}

}  // namespace
}  // namespace dki::injection
