// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/eviction_policy.h"

#include <gmock/gmock.h>

#include "libs/testing/status_matchers.h"

namespace dki::kvcache {
namespace {

TEST(LruPolicyTest, TheLeastRecentlyUsedGoesFirst) {
  const auto policy = MakeLruPolicy();
  for (const char* key : {"a", "b", "c"}) policy->OnInsert(key, {1, 1});
  policy->OnHit("a");
  EXPECT_EQ(policy->Victim(), "b");
  policy->OnErase("b");
  EXPECT_EQ(policy->Victim(), "c");
}

TEST(GreedyDualPolicyTest, CheapLargeAndUnusedGoesFirst) {
  const auto policy = MakeGreedyDualPolicy();
  policy->OnInsert("dear", {10, 5.0});
  policy->OnInsert("cheap", {10, 1.0});
  policy->OnInsert("large", {100, 5.0});
  EXPECT_EQ(policy->Victim(), "large");
  policy->OnErase("large");
  EXPECT_EQ(policy->Victim(), "cheap");
  policy->OnHit("cheap");  // 2 uses count as 8: 0.8 against 0.5
  EXPECT_EQ(policy->Victim(), "dear");
}

TEST(GreedyDualPolicyTest, PriorityMultipliesTheCost) {
  const auto policy = MakeGreedyDualPolicy();
  policy->OnInsert("high", {10, 1.0, 1, 20});  // as 2 seconds
  policy->OnInsert("plain", {10, 1.9, 1, 0});
  policy->OnInsert("low", {10, 5.0, 1, -40});  // as 1.25 seconds
  EXPECT_EQ(policy->Victim(), "low");
  policy->OnErase("low");
  EXPECT_EQ(policy->Victim(), "plain");
}

TEST(GreedyDualPolicyTest, OldPopularityAges) {
  const auto policy = MakeGreedyDualPolicy();
  policy->OnInsert("star", {1, 1.0});
  for (int i = 0; i < 99; ++i) policy->OnHit("star");  // worth 8^3
  // Without ageing, new entries of worth 1 would evict each other for ever.
  int evictions = 0;
  for (; evictions < 1000; ++evictions) {
    policy->OnInsert("new" + std::to_string(evictions), {1, 1.0});
    const std::string victim = policy->Victim();
    policy->OnErase(victim);
    if (victim == "star") break;
  }
  EXPECT_GT(evictions, 400);
  EXPECT_LT(evictions, 600);
}

TEST(GreedyDualPolicyTest, WhatComesBackIsKnown) {
  const auto policy = MakeGreedyDualPolicy();
  for (const char* key : {"a", "b", "c"}) policy->OnInsert(key, {1, 1});
  policy->OnHit("a");
  policy->OnErase("a");
  policy->OnInsert("a", {1, 1});  // its third use
  policy->OnHit("b");
  policy->OnHit("c");
  policy->OnHit("c");
  policy->OnHit("c");
  EXPECT_EQ(policy->Victim(), "b");
  policy->OnErase("b");
  EXPECT_EQ(policy->Victim(), "a");
}

TEST(GreedyDualPolicyTest, OnlyTheNewestOfThoseGoneAreKnown) {
  const auto policy = MakeGreedyDualPolicy();
  policy->OnInsert("other", {1, 1});
  policy->OnInsert("long gone", {1, 1});
  policy->OnHit("long gone");
  policy->OnErase("long gone");
  for (int i = 0; i < 4; ++i) {
    policy->OnInsert("x" + std::to_string(i), {1, 1});
    policy->OnErase("x" + std::to_string(i));
  }
  policy->OnHit("other");
  policy->OnInsert("long gone", {1, 1});
  EXPECT_EQ(policy->Victim(), "long gone");
}

TEST(LfuPolicyTest, TheLeastUsedGoesFirstAndOfThoseTheOldest) {
  const auto policy = MakeLfuPolicy();
  for (const char* key : {"a", "b", "c"}) policy->OnInsert(key, {1, 1});
  policy->OnHit("a");
  policy->OnHit("a");
  policy->OnHit("b");
  policy->OnHit("c");
  EXPECT_EQ(policy->Victim(), "b");
}

TEST(OriginalPolicyTest, IsTheSeedsScore) {
  FakeClock clock(absl::FromUnixSeconds(1000));
  const auto policy = MakeOriginalPolicy(&clock);
  policy->OnInsert("used", {.size_bytes = 1, .alpha = 1});
  for (int i = 0; i < 50; ++i) policy->OnHit("used");  // 0.2
  clock.Set(absl::FromUnixSeconds(1002));
  policy->OnInsert("fresh", {.size_bytes = 1000, .recompute_seconds = 100, .alpha = 1});
  // used: 0.2 + 0.3 / 3 + 0.3 = 0.6; fresh: 0 + 0.3 / 1 + 0.3 = 0.6 (a little less in 1 ms).
  clock.Set(absl::FromUnixMillis(1002001));
  EXPECT_EQ(policy->Victim(), "fresh");
  clock.Set(absl::FromUnixMillis(1001999));
  EXPECT_EQ(policy->Victim(), "used");
  // Alpha outweighs 75 hits.
  policy->OnInsert("weak", {.size_bytes = 1, .alpha = 0});
  for (int i = 0; i < 74; ++i) policy->OnHit("weak");
  clock.Set(absl::FromUnixSeconds(100000));
  EXPECT_EQ(policy->Victim(), "weak");
  policy->OnHit("weak");
  policy->OnHit("weak");
  EXPECT_EQ(policy->Victim(), "fresh");
}

TEST(ParseEvictionPolicyTest, KnowsItsNames) {
  for (const char* name : {"greedy_dual", "lru", "lfu", "as_original"}) {
    EXPECT_OK(ParseEvictionPolicy(name)) << name;
  }
  EXPECT_THAT(ParseEvictionPolicy("fifo"), testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace dki::kvcache
