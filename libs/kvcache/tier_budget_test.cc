// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/tier_budget.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace dki::kvcache {
namespace {

// Makes room and adds it. Returns what had to go.
std::vector<std::string> Insert(TierBudget* budget, const std::string& key,
                                const std::string& tenant, int64_t size_bytes) {
  std::vector<std::string> lost;
  while (const auto victim = budget->Victim(tenant, size_bytes)) {
    budget->Remove(*victim);
    lost.push_back(*victim);
  }
  budget->Add(key, tenant, {.size_bytes = size_bytes, .recompute_seconds = 1});
  return lost;
}

using Keys = std::vector<std::string>;

TEST(TierBudgetTest, MakesRoomByThePolicy) {
  TierBudget budget({.bytes = 10, .policy = MakeLruPolicy});
  EXPECT_TRUE(budget.Admits(10));
  EXPECT_FALSE(budget.Admits(11));
  Insert(&budget, "a", "t", 4);
  Insert(&budget, "b", "t", 4);
  budget.Touch("a");
  EXPECT_EQ(Insert(&budget, "c", "t", 6), Keys({"b"}));
  EXPECT_EQ(budget.bytes(), 10);
  EXPECT_EQ(budget.size(), 2);
  budget.Remove("a");
  budget.Remove("c");
  budget.Remove("c");
  EXPECT_EQ(budget.bytes(), 0);
  EXPECT_EQ(budget.bytes_of("t"), 0);
}

TEST(TierBudgetTest, ATenantOverItsQuotaLosesItsOwn) {
  TierBudget budget({.bytes = 100, .bytes_per_tenant = 10, .policy = MakeLruPolicy});
  EXPECT_FALSE(budget.Admits(11));
  Insert(&budget, "other", "o", 10);
  for (int i = 0; i < 10; ++i) Insert(&budget, "a" + std::to_string(i), "t", 1);
  EXPECT_EQ(Insert(&budget, "b", "t", 2), Keys({"a0", "a1"}));
  EXPECT_TRUE(budget.Holds("other"));
  EXPECT_EQ(budget.bytes_of("t"), 10);
}

TEST(TierBudgetTest, WhoHoldsMostMakesRoom) {
  TierBudget budget({.bytes = 10, .policy = MakeLruPolicy});
  Insert(&budget, "s1", "small", 2);
  for (int i = 0; i < 8; ++i) Insert(&budget, "l" + std::to_string(i), "large", 1);
  EXPECT_EQ(Insert(&budget, "s2", "small", 1), Keys({"l0"}));
  EXPECT_EQ(Insert(&budget, "l8", "large", 1), Keys({"l1"}));
  EXPECT_EQ(Insert(&budget, "n", "new", 4), Keys({"l2", "l3", "l4", "l5"}));
  EXPECT_TRUE(budget.Holds("s1"));
}

TEST(TierBudgetTest, PinnedEntriesStayUpToTheirShare) {
  TierBudget budget({.bytes = 10, .policy = MakeLruPolicy, .pinned_share = 0.4});
  const Worth one{.size_bytes = 1, .recompute_seconds = 1};
  for (int i = 0; i < 6; ++i) {
    budget.Add("pin" + std::to_string(i), "t", one, {.pinned = true});
  }
  EXPECT_EQ(budget.pinned_bytes(), 4);
  EXPECT_EQ(budget.pins_refused(), 2);
  EXPECT_TRUE(budget.InfoOf("pin3")->pinned);
  EXPECT_FALSE(budget.InfoOf("pin4")->pinned);
  for (int i = 0; i < 100; ++i) Insert(&budget, std::to_string(i), "t", 1);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(budget.Holds("pin" + std::to_string(i)), i < 4) << i;
  // Given back, the share is free for others.
  budget.Remove("pin0");
  budget.Add("pin6", "t", one, {.pinned = true});
  EXPECT_TRUE(budget.InfoOf("pin6")->pinned);
}

TEST(TierBudgetTest, PinsGiveWayOnlyWhenNothingElseIsLeft) {
  TierBudget budget({.bytes = 10, .policy = MakeLruPolicy, .pinned_share = 1});
  for (int i = 0; i < 8; ++i) {
    budget.Add("pin" + std::to_string(i), "holds most", {.size_bytes = 1}, {.pinned = true});
  }
  Insert(&budget, "other", "small", 2);
  EXPECT_EQ(Insert(&budget, "new", "new", 1), Keys({"other"})) << "though it holds less";
  EXPECT_EQ(Insert(&budget, "big", "new", 9).size(), 8u) << "it must fit";
  EXPECT_TRUE(budget.Holds("big"));
}

TEST(TierBudgetTest, TellsWhatHasExpired) {
  FakeClock clock;
  TierBudget budget({.bytes = 10, .policy = MakeLruPolicy, .clock = &clock});
  const Worth one{.size_bytes = 1};
  budget.Add("soon", "t", one, {.expire_time = clock.Now() + absl::Seconds(1)});
  budget.Add("later", "t", one, {.expire_time = clock.Now() + absl::Seconds(2)});
  budget.Add("never", "t", one);
  EXPECT_FALSE(budget.IsExpired("soon"));
  EXPECT_EQ(budget.Expired(), Keys());
  clock.Advance(absl::Seconds(1));
  EXPECT_TRUE(budget.IsExpired("soon"));
  EXPECT_FALSE(budget.IsExpired("later"));
  EXPECT_EQ(budget.Expired(), Keys({"soon"}));
  budget.Remove("soon");
  EXPECT_EQ(budget.Expired(), Keys());
  clock.Advance(absl::Hours(1));
  EXPECT_EQ(budget.Expired(), Keys({"later"}));
}

// A tenant asks for its working set, 40 % of the tier, while another streams through ten times as
// many blocks. Hit rate of the first, in percent.
double HitRate(const TierBudget::Options& options, bool flooded) {
  TierBudget budget(options);
  std::mt19937 random(7);
  std::geometric_distribution<int> pick(0.08);
  int hits = 0, asked = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string key = "mine" + std::to_string(pick(random) % 40);
    ++asked;
    if (budget.Holds(key)) {
      ++hits;
      budget.Touch(key);
    } else {
      Insert(&budget, key, "mine", 1);
    }
    for (int k = 0; flooded && k < 10; ++k) {
      const std::string flood = "flood" + std::to_string(10 * i + k);
      Insert(&budget, flood, "flood", 1);
      budget.Touch(flood);  // it looks popular, too
    }
  }
  return 100.0 * hits / asked;
}

TEST(TierBudgetTest, AFloodingTenantDoesNotEvictAnothers) {
  for (const char* name : {"greedy_dual", "lru", "lfu", "as_original"}) {
    const PolicyFactory policy = *ParseEvictionPolicy(name);
    const double alone = HitRate({.bytes = 100, .policy = policy}, false);
    EXPECT_GT(alone, 95) << name;
    EXPECT_LE(alone - HitRate({.bytes = 100, .policy = policy}, true), 2) << name;
    EXPECT_LE(alone - HitRate({.bytes = 100, .bytes_per_tenant = 60, .policy = policy}, true), 2)
        << name;
  }
}

}  // namespace
}  // namespace dki::kvcache
