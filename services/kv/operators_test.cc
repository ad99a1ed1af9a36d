// SPDX-License-Identifier: Apache-2.0
// What an operator sees and does through a running service.
#include <gmock/gmock.h>

#include <set>

#include "services/kv/server_fixture.h"

namespace dki::kv {
namespace {

using common::v1::TIER_RAM;
using common::v1::TIER_RECOMPUTED;
using ::testing::Each;
using ::testing::ElementsAre;

class OperatorsTest : public KvServerTest {
 protected:
  // Two memories, the second one pinned, and one of another tenant, in both tiers.
  void SetUp() override {
    KvServerTest::SetUp();
    request_ = Request(2);
    v1::PackMemory* second = request_.mutable_pack()->mutable_memories(1);
    second->mutable_attributes()->set_pinned(true);
    second->mutable_attributes()->set_priority(5);
    ASSERT_OK(GetPack(request_).status);
    ASSERT_OK(GetPack(Request(1), "other").status);
    WaitForBlocksOnDisk(kBlocks + 3);
  }

  static constexpr int kBlocks = 4;  // header, two memories, footer
  v1::GetPackRequest request_;
};

TEST_F(OperatorsTest, SeeHowMuchOfEachTierIsTheirTenants) {
  const v1::GetStatsResponse stats = process_->Stats();
  ASSERT_EQ(stats.tiers_size(), 2);
  for (const v1::TierUsage& tier : stats.tiers()) {
    EXPECT_EQ(tier.blocks(), kBlocks + 3);
    EXPECT_EQ(tier.tenant_blocks(), kBlocks);
    EXPECT_GT(tier.tenant_bytes(), 0);
    EXPECT_LT(tier.tenant_bytes(), tier.bytes());
    EXPECT_GT(tier.tenant_pinned_bytes(), 0);
    EXPECT_LT(tier.tenant_pinned_bytes(), tier.tenant_bytes());
  }
}

TEST_F(OperatorsTest, ListPageByPageEachBlockOfEachTierOnce) {
  std::set<std::pair<int, std::string>> seen;
  v1::ListBlocksRequest list;
  list.set_page_size(3);
  do {
    v1::ListBlocksResponse page;
    ASSERT_OK(
        rpc::FromGrpcStatus(process_->stub().ListBlocks(process_->Context().get(), list, &page)));
    EXPECT_LE(page.blocks_size(), 3);
    for (const v1::BlockEntry& block : page.blocks()) {
      EXPECT_TRUE(seen.insert({block.tier(), block.key()}).second);
      EXPECT_TRUE(block.memory_id().empty() || block.n_tokens() > 0);
      EXPECT_GT(block.bytes(), 0);
      EXPECT_EQ(block.pinned(), block.memory_id() == "mem_1");
      EXPECT_EQ(block.attributes().priority(), block.memory_id() == "mem_1" ? 5 : 0);
    }
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_EQ(seen.size(), size_t{2 * kBlocks});
}

TEST_F(OperatorsTest, VerifyEachBlockOfEachTier) {
  v1::VerifyBlocksResponse verified;
  ASSERT_OK(
      rpc::FromGrpcStatus(process_->stub().VerifyBlocks(process_->Context().get(), {}, &verified)));
  EXPECT_EQ(verified.checked(), 2 * kBlocks);
  EXPECT_EQ(verified.n_damaged(), 0);
}

TEST_F(OperatorsTest, EvictAMemoryOrAllOfTheirTenant) {
  v1::EvictBlocksRequest evict;
  v1::EvictBlocksResponse evicted;
  EXPECT_EQ(process_->stub().EvictBlocks(process_->Context().get(), evict, &evicted).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  evict.set_memory_id("mem_1");
  ASSERT_OK(rpc::FromGrpcStatus(
      process_->stub().EvictBlocks(process_->Context().get(), evict, &evicted)));
  EXPECT_EQ(evicted.blocks(), 4) << "its block and the footer, in two tiers";
  EXPECT_THAT(GetPack(request_).tiers,
              ElementsAre(TIER_RAM, TIER_RAM, TIER_RECOMPUTED, TIER_RECOMPUTED));
  evict.clear_memory_id();
  evict.set_all(true);
  ASSERT_OK(rpc::FromGrpcStatus(
      process_->stub().EvictBlocks(process_->Context().get(), evict, &evicted)));
  EXPECT_THAT(GetPack(request_).tiers, Each(TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1), "other").tiers, Each(TIER_RAM)) << "another tenant's stay";
}

}  // namespace
}  // namespace dki::kv
