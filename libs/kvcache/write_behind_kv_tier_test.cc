// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/write_behind_kv_tier.h"

#include <gmock/gmock.h>

#include "libs/kvcache/in_memory_kv_tier.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/testing/status_matchers.h"

namespace dki::kvcache {
namespace {

StoredBlock Stored(const TestBlockSpec& spec) {
  const Block block = TestBlock(spec);
  return {block.identity, block.chain_memory_ids, Encoded(block), 0.25};
}

// A tier whose writes stall until the test lets them go on.
class StalledTier : public KvTier {
 public:
  std::optional<TierHit> Get(const BlockIdentity& identity) override { return ram_.Get(identity); }
  void Put(const StoredBlock& block) override {
    {
      MutexLock lock(&mutex_);
      is_waiting_ = true;
      changed_.NotifyAll();
      while (is_stalled_) changed_.Wait(&mutex_);
      is_waiting_ = false;
    }
    ram_.Put(block);
  }
  absl::Status Erase(const std::string& tenant, const std::string& memory) override {
    return ram_.Erase(tenant, memory);
  }
  TierStats Stats() const override { return ram_.Stats(); }

  void WaitForAWrite() {
    MutexLock lock(&mutex_);
    while (!is_waiting_) changed_.Wait(&mutex_);
  }
  void GoOn() {
    MutexLock lock(&mutex_);
    is_stalled_ = false;
    changed_.NotifyAll();
  }

 private:
  InMemoryKvTier ram_{{.bytes = 1 << 20}, kTestShape};
  Mutex mutex_;
  CondVar changed_;
  bool is_stalled_ ABSL_GUARDED_BY(mutex_) = true;
  bool is_waiting_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(WriteBehindKvTierTest, APutReturnsWhileTheMediumStalls) {
  StalledTier slow;
  WriteBehindKvTier tier(&slow, 1 << 20);
  for (int i = 0; i < 3; ++i) tier.Put(Stored({.variant = i}));
  EXPECT_FALSE(tier.Get(Stored({}).identity));
  slow.GoOn();
  tier.Flush();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(tier.Get(Stored({.variant = i}).identity)) << i;
}

TEST(WriteBehindKvTierTest, WhatFindsNoRoomIsNotKeptButCounted) {
  StalledTier slow;
  const auto size = static_cast<int64_t>(Stored({}).bytes->size());
  telemetry::Metrics metrics;
  telemetry::Counter* dropped = metrics.GetCounter("dropped", "");
  WriteBehindKvTier tier(&slow, 2 * size, dropped);
  tier.Put(Stored({}));
  slow.WaitForAWrite();
  for (int i = 1; i < 6; ++i) tier.Put(Stored({.variant = i}));
  EXPECT_EQ(tier.Stats().failures, 3);
  EXPECT_EQ(dropped->value(), 3);
  slow.GoOn();
  tier.Flush();
  EXPECT_TRUE(tier.Get(Stored({.variant = 2}).identity));
  EXPECT_FALSE(tier.Get(Stored({.variant = 3}).identity));
  tier.Put(Stored({.variant = 3}));
  tier.Flush();
  EXPECT_TRUE(tier.Get(Stored({.variant = 3}).identity));
}

TEST(WriteBehindKvTierTest, AnErasureReachesWhatWaitsAndWhatIsBeingWritten) {
  StalledTier slow;
  WriteBehindKvTier tier(&slow, 1 << 20);
  const StoredBlock kept = Stored({.memory_id = "m9", .chain = {"m9"}, .variant = 9});
  tier.Put(Stored({}));
  slow.WaitForAWrite();
  tier.Put(Stored({.variant = 1}));
  tier.Put(kept);
  std::thread erasing([&] { EXPECT_OK(tier.Erase("tenant", "m1")); });
  slow.GoOn();
  erasing.join();
  tier.Flush();
  EXPECT_FALSE(tier.Get(Stored({}).identity));
  EXPECT_FALSE(tier.Get(Stored({.variant = 1}).identity));
  EXPECT_TRUE(tier.Get(kept.identity));
}

TEST(WriteBehindKvTierTest, ItsEndWritesWhatWaits) {
  InMemoryKvTier ram({.bytes = 1 << 20}, kTestShape);
  {
    WriteBehindKvTier tier(&ram, 1 << 20);
    for (int i = 0; i < 50; ++i) tier.Put(Stored({.variant = i}));
  }
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(ram.Get(Stored({.variant = i}).identity)) << i;
}

}  // namespace
}  // namespace dki::kvcache
