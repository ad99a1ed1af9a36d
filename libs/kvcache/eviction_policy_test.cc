// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/eviction_policy.h"

#include <gtest/gtest.h>

namespace dki::kvcache {
namespace {

TEST(LruPolicyTest, TheLeastRecentlyUsedGoesFirst) {
  const auto policy = MakeLruPolicy();
  for (const char* key : {"a", "b", "c"}) policy->OnInsert(key, 1, 1);
  policy->OnHit("a");
  EXPECT_EQ(policy->Victim(), "b");
  policy->OnErase("b");
  EXPECT_EQ(policy->Victim(), "c");
}

TEST(GreedyDualPolicyTest, CheapLargeAndUnusedGoesFirst) {
  const auto policy = MakeGreedyDualPolicy();
  policy->OnInsert("dear", 10, 5.0);
  policy->OnInsert("cheap", 10, 1.0);
  policy->OnInsert("large", 100, 5.0);
  EXPECT_EQ(policy->Victim(), "large");
  policy->OnErase("large");
  for (int i = 0; i < 5; ++i) policy->OnHit("cheap");  // 6 uses of 0.1 outweigh one of 0.5
  EXPECT_EQ(policy->Victim(), "dear");
}

TEST(GreedyDualPolicyTest, OldPopularityAges) {
  const auto policy = MakeGreedyDualPolicy();
  policy->OnInsert("star", 1, 1.0);
  for (int i = 0; i < 9; ++i) policy->OnHit("star");  // worth 10
  // Without ageing, new entries of worth 1 would evict each other for ever.
  int evictions = 0;
  for (; evictions < 100; ++evictions) {
    policy->OnInsert("new" + std::to_string(evictions), 1, 1.0);
    const std::string victim = policy->Victim();
    policy->OnErase(victim);
    if (victim == "star") break;
  }
  EXPECT_GT(evictions, 5);
  EXPECT_LT(evictions, 20);
}

}  // namespace
}  // namespace dki::kvcache
