// SPDX-License-Identifier: Apache-2.0
// What every tier must do, over all tiers and compositions.
#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "libs/kvcache/in_memory_kv_tier.h"
#include "libs/kvcache/metrics_kv_tier.h"
#include "libs/kvcache/read_through_kv_tier.h"
#include "libs/kvcache/redis_kv_tier.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/testing/redis.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::kvcache {
namespace {

constexpr int64_t kAmple = 1 << 20;

// A tier with all that it stands on.
struct Stack {
  testing::TempDir folder;
  telemetry::Metrics metrics;
  std::unique_ptr<testing::TestRedis> redis;
  std::unique_ptr<RedisPool> pool;
  std::vector<std::unique_ptr<KvTier>> tiers;
  KvTier* top = nullptr;

  KvTier* Add(std::unique_ptr<KvTier> tier) {
    tiers.push_back(std::move(tier));
    return tiers.back().get();
  }
  KvTier* Ram(int64_t budget) { return Ram({.bytes = budget}); }
  KvTier* Ram(TierBudget::Options budget) {
    return Add(std::make_unique<InMemoryKvTier>(std::move(budget), kTestShape));
  }
  KvTier* Sealed(int64_t budget) {
    return Add(std::make_unique<InMemoryKvTier>(TierBudget::Options{.bytes = budget}, kTestShape,
                                                /*max_sealed=*/1000));
  }
  KvTier* Lru(int64_t budget) { return Ram({.bytes = budget, .policy = MakeLruPolicy}); }
  KvTier* RocksDb(int64_t budget) { return RocksDb({.bytes = budget}); }
  KvTier* RocksDb(TierBudget::Options budget) {
    auto tier = RocksDbKvTier::Open(
        {.path = folder.File("db"), .budget = std::move(budget), .shape = kTestShape});
    DKI_CHECK(tier.ok());
    return Add(*std::move(tier));
  }
  KvTier* Redis() {
    redis = std::make_unique<testing::TestRedis>();
    pool = std::make_unique<RedisPool>(RedisPool::Options{
        .address = redis->address(), .timeout = std::chrono::milliseconds(10000)});
    return Add(std::make_unique<RedisKvTier>(
        pool.get(),
        RedisKvTier::Options{.verify = [](std::string_view bytes, const BlockIdentity& identity) {
          return VerifyBlock(bytes, identity, kTestShape);
        }}));
  }
  KvTier* Metered(KvTier* tier, const std::string& name) {
    return Add(std::make_unique<MetricsKvTier>(tier, name, &metrics));
  }
  KvTier* ReadThrough(KvTier* fast, KvTier* slow) {
    return Add(std::make_unique<ReadThroughKvTier>(fast, slow));
  }
};

struct TierCase {
  std::string name;
  int n_levels;  // that have the budget; 0: none has one
  std::function<KvTier*(Stack*, int64_t budget)> build;
};

class TierConformanceTest : public ::testing::TestWithParam<TierCase> {
 protected:
  KvTier* Build(int64_t budget) { return GetParam().build(&stack_, budget); }

  static StoredBlock Stored(const TestBlockSpec& spec) {
    const Block block = TestBlock(spec);
    return {block.identity, block.chain_memory_ids,
            std::make_shared<const std::string>(Encoded(block)), 0.01};
  }

  Stack stack_;
};

TEST_P(TierConformanceTest, GivesBackWhatWasPut) {
  KvTier* tier = Build(kAmple);
  const StoredBlock block = Stored({.memory_id = "m2", .chain = {"m1", "m2"}});
  EXPECT_FALSE(tier->Get(block.identity));
  tier->Put(block);
  const auto hit = tier->Get(block.identity);
  ASSERT_TRUE(hit);
  EXPECT_EQ(*hit->block.bytes, *block.bytes);
  EXPECT_EQ(hit->block.identity, block.identity);
  EXPECT_EQ(hit->block.chain_memory_ids, block.chain_memory_ids);
  EXPECT_EQ(hit->block.recompute_seconds, block.recompute_seconds);
  EXPECT_EQ(tier->Stats().hits, 1);
  EXPECT_EQ(tier->Stats().misses, 1);
}

TEST_P(TierConformanceTest, AttributesComeBackAndAreListed) {
  KvTier* tier = Build(kAmple);
  StoredBlock block = Stored({.memory_id = "m2", .chain = {"m1", "m2"}});
  block.n_tokens = 3;
  block.attributes = {.user_id = "ann",
                      .pinned = true,
                      .priority = -7,
                      .expire_time = absl::FromUnixSeconds(4'000'000'000)};
  EXPECT_FALSE(tier->Find(block.identity));
  tier->Put(block);
  const auto hit = tier->Get(block.identity);
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->block.attributes, block.attributes);
  if (GetParam().n_levels == 0) return;  // its tables are at its server
  ASSERT_TRUE(tier->Find(block.identity));
  EXPECT_GE(tier->Find(block.identity)->bytes, static_cast<int64_t>(block.bytes->size()));
  EXPECT_GE(tier->Stats().pinned_bytes, static_cast<int64_t>(block.bytes->size()));
  for (const char* memory_id : {"", "m1", "m2"}) {
    const std::vector<BlockInfo> listed = tier->List("tenant", memory_id);
    ASSERT_EQ(listed.size(), static_cast<size_t>(GetParam().n_levels)) << memory_id;
    for (const BlockInfo& info : listed) {
      EXPECT_EQ(info.identity, block.identity);
      EXPECT_EQ(info.chain_memory_ids, block.chain_memory_ids);
      EXPECT_EQ(info.n_tokens, 3);
      EXPECT_EQ(info.attributes, block.attributes);
      EXPECT_TRUE(info.pinned);
    }
    EXPECT_EQ(listed[0].hits, 1) << "of the fastest";
  }
  EXPECT_TRUE(tier->List("tenant", "m3").empty());
  EXPECT_TRUE(tier->List("other", "").empty());
}

TEST_P(TierConformanceTest, WhatHasExpiredIsNotServedAndSwept) {
  KvTier* tier = Build(kAmple);
  StoredBlock gone = Stored({.variant = 1}), swept = Stored({.variant = 2}), stays = Stored({});
  gone.attributes.expire_time = swept.attributes.expire_time = absl::FromUnixSeconds(1);
  stays.attributes.expire_time = absl::FromUnixSeconds(4'000'000'000);
  for (const StoredBlock* block : {&gone, &swept, &stays}) tier->Put(*block);
  EXPECT_FALSE(tier->Find(gone.identity));
  EXPECT_FALSE(tier->Get(gone.identity));
  EXPECT_EQ(tier->DropExpired(), GetParam().n_levels);
  EXPECT_EQ(tier->DropExpired(), 0);
  EXPECT_EQ(tier->Stats().blocks, GetParam().n_levels);
  EXPECT_EQ(tier->Stats().expired, 2 * GetParam().n_levels);
  EXPECT_TRUE(tier->Get(stays.identity));
}

TEST_P(TierConformanceTest, ServesABlockOnlyAsWhatItIs) {
  KvTier* tier = Build(kAmple);
  const StoredBlock block = Stored({});
  tier->Put(block);
  BlockIdentity other = block.identity;
  other.tenant_id = "other";
  EXPECT_FALSE(tier->Get(other));
  other = block.identity;
  other.model_fingerprint = "other";
  EXPECT_FALSE(tier->Get(other));
}

TEST_P(TierConformanceTest, BytesThatAreAnotherBlocksAreDroppedAndCounted) {
  KvTier* tier = Build(kAmple);
  StoredBlock block = Stored({});
  block.bytes = Stored({.variant = 1}).bytes;
  tier->Put(block);
  EXPECT_FALSE(tier->Get(block.identity));
  EXPECT_GE(tier->Stats().corrupt, 1);
  EXPECT_EQ(tier->Stats().blocks, 0);
  EXPECT_EQ(tier->Stats().bytes, 0);
}

TEST_P(TierConformanceTest, ErasingAMemoryTakesAllThatHaveItInTheirChain) {
  KvTier* tier = Build(kAmple);
  const StoredBlock first = Stored({.memory_id = "m1", .chain = {"m1"}});
  const StoredBlock second = Stored({.memory_id = "m2", .chain = {"m1", "m2"}, .variant = 1});
  const StoredBlock footer = Stored({.memory_id = "", .chain = {"m1", "m2"}, .variant = 2});
  const StoredBlock header = Stored({.memory_id = "", .chain = {}, .variant = 3});
  const StoredBlock alike = Stored({.memory_id = "m11", .chain = {"m11", "m1/"}, .variant = 4});
  const StoredBlock foreign = Stored({.tenant_id = "other", .memory_id = "m1", .chain = {"m1"}});
  for (const auto& block : {first, second, footer, header, alike, foreign}) tier->Put(block);
  ASSERT_OK(tier->Erase("tenant", "m2"));
  EXPECT_EQ(tier->Stats().erased, 2 * std::max(1, GetParam().n_levels));
  EXPECT_TRUE(tier->Get(first.identity));
  EXPECT_FALSE(tier->Get(second.identity));
  EXPECT_FALSE(tier->Get(footer.identity));
  ASSERT_OK(tier->Erase("tenant", "m1"));
  EXPECT_FALSE(tier->Get(first.identity));
  for (const auto& block : {header, alike, foreign}) EXPECT_TRUE(tier->Get(block.identity));
}

TEST_P(TierConformanceTest, ErasingATenantLeavesTheOthers) {
  KvTier* tier = Build(kAmple);
  const StoredBlock mine = Stored({});
  const StoredBlock header = Stored({.memory_id = "", .chain = {}, .variant = 1});
  const StoredBlock foreign = Stored({.tenant_id = "tenant2"});
  for (const auto& block : {mine, header, foreign}) tier->Put(block);
  ASSERT_OK(tier->Erase("tenant", ""));
  EXPECT_FALSE(tier->Get(mine.identity));
  EXPECT_FALSE(tier->Get(header.identity));
  EXPECT_TRUE(tier->Get(foreign.identity));
}

TEST_P(TierConformanceTest, StaysWithinItsBudget) {
  if (GetParam().n_levels == 0) GTEST_SKIP() << "its server has the budget";
  const auto size = static_cast<int64_t>(Stored({}).bytes->size());
  const int64_t budget = 20 * size;
  KvTier* tier = Build(budget);
  for (int i = 0; i < 80; ++i) {
    const StoredBlock block = Stored({.variant = i});
    tier->Put(block);
    // A composition has the budget once for each level.
    EXPECT_LE(tier->Stats().bytes, budget * GetParam().n_levels);
    EXPECT_TRUE(tier->Get(block.identity)) << "the newest";
  }
  EXPECT_GT(tier->Stats().evicted, 0);
  EXPECT_FALSE(tier->Get(Stored({.variant = 0}).identity));
}

TEST_P(TierConformanceTest, WhatIsLargerThanTheBudgetIsNotKept) {
  if (GetParam().n_levels == 0) GTEST_SKIP() << "its server has the budget";
  KvTier* tier = Build(100);
  tier->Put(Stored({}));
  EXPECT_FALSE(tier->Get(Stored({}).identity));
  EXPECT_EQ(tier->Stats().bytes, 0);
}

TEST_P(TierConformanceTest, PuttingAgainCountsOnce) {
  KvTier* tier = Build(kAmple);
  tier->Put(Stored({}));
  const TierStats once = tier->Stats();
  tier->Put(Stored({}));
  EXPECT_EQ(tier->Stats().bytes, once.bytes);
  EXPECT_EQ(tier->Stats().blocks, once.blocks);
}

INSTANTIATE_TEST_SUITE_P(
    AllTiers, TierConformanceTest,
    ::testing::Values(
        TierCase{"RamGreedyDual", 1, [](Stack* s, int64_t budget) { return s->Ram(budget); }},
        TierCase{"RamLru", 1, [](Stack* s, int64_t budget) { return s->Lru(budget); }},
        TierCase{"RamSealed", 1, [](Stack* s, int64_t budget) { return s->Sealed(budget); }},
        TierCase{"RocksDb", 1, [](Stack* s, int64_t budget) { return s->RocksDb(budget); }},
        TierCase{"Redis", 0, [](Stack* s, int64_t) { return s->Redis(); }},
        TierCase{"ThreeLevels", 3,
                 [](Stack* s, int64_t budget) {
                   return s->ReadThrough(s->Ram(budget),
                                         s->ReadThrough(s->RocksDb(budget), s->Lru(budget)));
                 }},
        TierCase{"ReadThroughMetered", 2,
                 [](Stack* s, int64_t budget) {
                   return s->ReadThrough(s->Metered(s->Ram(budget), "ram"),
                                         s->Metered(s->RocksDb(budget), "disk"));
                 }}),
    [](const auto& info) { return info.param.name; });

TEST_P(TierConformanceTest, ATenantThatFloodsDoesNotEvictAnothers) {
  const auto size = static_cast<int64_t>(Stored({}).bytes->size());
  KvTier* tier = Build(40 * size);
  for (int i = 0; i < 5; ++i) tier->Put(Stored({.tenant_id = "victim", .variant = i}));
  for (int i = 0; i < 100; ++i) {
    const StoredBlock flood = Stored({.tenant_id = "flood", .variant = i});
    tier->Put(flood);
    tier->Get(flood.identity);
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(tier->Get(Stored({.tenant_id = "victim", .variant = i}).identity)) << i;
  }
}

TEST(ReadThroughTest, PromotesWhatTheSlowTierHad) {
  Stack stack;
  KvTier* ram = stack.Ram(kAmple);
  KvTier* disk = stack.RocksDb(kAmple);
  KvTier* both = stack.ReadThrough(ram, disk);
  const Block block = TestBlock({});
  disk->Put({block.identity, {"m1"}, std::make_shared<const std::string>(Encoded(block)), 1});
  EXPECT_EQ(both->Get(block.identity)->tier, TierName::kDisk);
  EXPECT_EQ(both->Get(block.identity)->tier, TierName::kRam);
  // Also what was promoted is erased.
  ASSERT_OK(both->Erase("tenant", "m1"));
  EXPECT_FALSE(ram->Get(block.identity));
  EXPECT_FALSE(disk->Get(block.identity));
}

// A tier that lets the test act in the middle of a read.
class InterruptedTier : public KvTier {
 public:
  InterruptedTier(KvTier* tier, std::function<void()> after_get)
      : tier_(tier), after_get_(std::move(after_get)) {}
  std::optional<TierHit> Get(const BlockIdentity& identity) override {
    auto hit = tier_->Get(identity);
    after_get_();
    return hit;
  }
  void Put(const StoredBlock& block) override { tier_->Put(block); }
  absl::Status Erase(const std::string& tenant, const std::string& memory) override {
    return tier_->Erase(tenant, memory);
  }
  TierStats Stats() const override { return tier_->Stats(); }

 private:
  KvTier* tier_;
  std::function<void()> after_get_;
};

TEST(ReadThroughTest, WhatIsErasedDuringAReadIsNotPromoted) {
  Stack stack;
  KvTier* ram = stack.Ram(kAmple);
  KvTier* disk = stack.RocksDb(kAmple);
  KvTier* both = nullptr;
  InterruptedTier slow(disk, [&] { ASSERT_OK(both->Erase("tenant", "m1")); });
  both = stack.ReadThrough(ram, &slow);
  const Block block = TestBlock({});
  disk->Put({block.identity, {"m1"}, std::make_shared<const std::string>(Encoded(block)), 1});
  EXPECT_TRUE(both->Get(block.identity));
  EXPECT_FALSE(ram->Get(block.identity));
}

TEST(InMemoryKvTierTest, DamageInMemoryIsFound) {
  Stack stack;
  KvTier* ram = stack.Ram(kAmple);
  const Block block = TestBlock({});
  const auto bytes = std::make_shared<std::string>(Encoded(block));
  ram->Put({block.identity, {"m1"}, bytes, 1});
  ASSERT_TRUE(ram->Get(block.identity));
  bytes->back() ^= 1;
  EXPECT_FALSE(ram->Get(block.identity));
  EXPECT_EQ(ram->Stats().corrupt, 1);
}

TEST(InMemoryKvTierTest, AHitCopiesNothing) {
  Stack stack;
  KvTier* ram = stack.Ram(kAmple);
  const Block block = TestBlock({});
  const auto bytes = std::make_shared<const std::string>(Encoded(block));
  ram->Put({block.identity, {"m1"}, bytes, 1});
  EXPECT_EQ(ram->Get(block.identity)->block.bytes, bytes);
}

TEST(InMemoryKvTierTest, BlocksAreSealedUpToTheLimitAndAHitCopiesNothing) {
  InMemoryKvTier ram({.bytes = kAmple}, kTestShape, /*max_sealed=*/2);
  const auto put = [&](int variant) {
    const Block block = TestBlock({.variant = variant});
    ram.Put({block.identity, {"m1"}, Encoded(block), 1});
    return block.identity;
  };
  const auto sealed = [&](const BlockIdentity& identity) {
    return ram.Get(identity)->block.bytes.sealed();
  };
  const BlockIdentity first = put(1), second = put(2), third = put(3);
  EXPECT_NE(sealed(first), nullptr);
  EXPECT_EQ(sealed(first), sealed(first));
  EXPECT_NE(sealed(second), nullptr);
  EXPECT_EQ(sealed(third), nullptr);
  ASSERT_OK(ram.Erase(first.tenant_id, "m1"));
  EXPECT_NE(sealed(put(4)), nullptr) << "what went made room";
}

TEST(MetricsKvTierTest, CountsWhatTheTierCounts) {
  Stack stack;
  KvTier* tier = stack.Metered(stack.Ram(kAmple), "ram");
  const Block block = TestBlock({});
  const auto bytes = std::make_shared<std::string>(Encoded(block));
  tier->Put({block.identity, {"m1"}, bytes, 1});
  tier->Get(block.identity);
  tier->Get(block.identity);
  bytes->back() ^= 1;
  tier->Get(block.identity);
  const telemetry::Labels ram = {{"tier", "ram"}};
  EXPECT_EQ(stack.metrics.GetCounter("dki_kv_tier_hits_total", "", ram)->value(), 2);
  EXPECT_EQ(stack.metrics.GetCounter("dki_kv_tier_misses_total", "", ram)->value(), 1);
  EXPECT_EQ(stack.metrics.GetCounter("dki_kv_tier_corrupt_total", "", ram)->value(), 1);
  EXPECT_EQ(stack.metrics.GetGauge("dki_kv_tier_bytes", "", ram)->value(), 0);
}

}  // namespace
}  // namespace dki::kvcache
