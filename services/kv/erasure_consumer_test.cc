// SPDX-License-Identifier: Apache-2.0
// Deletions of the feed, through a running service.
#include <gmock/gmock.h>

#include "services/kv/server_fixture.h"

namespace dki::kv {
namespace {

using common::v1::TIER_DISK;
using common::v1::TIER_RAM;
using common::v1::TIER_RECOMPUTED;
using memory::v1::FeedEntry;
using ::testing::Each;
using ::testing::ElementsAre;

TEST_F(KvServerTest, ADeletionTakesAllThatDependOnItFromBothTiers) {
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0");
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_1");
  GetPack(Request(3));
  feed_.Add(FeedEntry::KIND_DELETE, "mem_1");
  WaitForErasures(1);
  // Header and mem_0 have not seen mem_1.
  const auto expected =
      ElementsAre(TIER_RAM, TIER_RAM, TIER_RECOMPUTED, TIER_RECOMPUTED, TIER_RECOMPUTED);
  EXPECT_THAT(GetPack(Request(3)).tiers, expected);
  // And nothing of a deleted memory is kept again.
  EXPECT_THAT(GetPack(Request(3)).tiers, expected);
  EXPECT_EQ(process_->Stats().ram_blocks(), 2);
}

TEST_F(KvServerTest, WhatWasDeletedMeanwhileIsErasedAfterARestart) {
  GetPack(Request(2));
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0");
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_1", 2);
  WaitForErasures(1);
  GetPack(Request(2));
  process_ = nullptr;
  feed_.Add(FeedEntry::KIND_DELETE, "mem_0");
  Start();
  WaitForErasures(1);
  EXPECT_THAT(GetPack(Request(2)).tiers,
              ElementsAre(TIER_DISK, TIER_RECOMPUTED, TIER_RECOMPUTED, TIER_RECOMPUTED));
  Restart();
  // It goes on from where it stood: nothing is erased twice.
  feed_.Add(FeedEntry::KIND_DELETE, "mem_7");
  WaitForErasures(1);
  EXPECT_EQ(process_->runtime().metrics().GetCounter("dki_kv_erasures_total", "")->value(), 1);
}

TEST_F(KvServerTest, ANewVersionErasesTheOldOne) {
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0");
  GetPack(Request(1));
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0", 2);
  WaitForErasures(1);
  EXPECT_THAT(GetPack(Request(1)).tiers, ElementsAre(TIER_RAM, TIER_RECOMPUTED, TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RAM)) << "the memory lives on";
}

TEST_F(KvServerTest, AnErasedTenantLeavesNothing) {
  GetPack(Request(1), "tenant");
  GetPack(Request(1), "other");
  feed_.Add(FeedEntry::KIND_ERASE_TENANT, "");
  WaitForErasures(1);
  EXPECT_THAT(GetPack(Request(1), "tenant").tiers, Each(TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1), "other").tiers, Each(TIER_RAM));
}

TEST_F(KvServerTest, AnotherDatabaseMeansStartingOver) {
  GetPack(Request(1));
  feed_.Add(FeedEntry::KIND_UPSERT, "mem_0");
  feed_.Add(FeedEntry::KIND_DELETE, "mem_9");
  WaitForErasures(1);
  process_ = nullptr;
  feed_.Replace();
  Start();
  feed_.Add(FeedEntry::KIND_DELETE, "mem_8");
  WaitForErasures(1);
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RECOMPUTED));
}

}  // namespace
}  // namespace dki::kv
