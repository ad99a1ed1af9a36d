// SPDX-License-Identifier: Apache-2.0
#include "services/generation/erasure_consumer.h"

#include <gmock/gmock.h>

#include "libs/base/clock.h"
#include "libs/engine/loaded_model.h"
#include "libs/engine/local_pack_source.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::generation {
namespace {

using dki::testing::StatusIs;
using memory::v1::FeedEntry;

class ErasureConsumerTest : public ::testing::Test {
 protected:
  ErasureConsumerTest()
      : loaded_(*engine::LoadedModel::Load(testing::WriteTinyModel(folder_.path()), {})) {}

  absl::Status Load(const std::string& tenant, const std::string& memory_id) {
    const engine::PackRequest request{
        .tenant_id = tenant, .request_id = "", .memories = {{memory_id, "Jack is a baker."}}};
    return packs_
        .Load(request,
              injection::PlanPack(*loaded_.format, tenant, loaded_.model->config().fingerprint, "",
                                  request.memories, kernels::KvFormat::kInt8))
        .status();
  }
  absl::Status Apply(FeedEntry::Kind kind, const std::string& tenant, const std::string& memory_id,
                     int64_t position, int64_t version = 1) {
    memory::v1::FollowFeedResponse response;
    FeedEntry* entry = response.add_entries();
    entry->set_kind(kind);
    entry->set_tenant_id(tenant);
    entry->set_memory_id(memory_id);
    entry->set_position(position);
    entry->set_version(version);
    return consumer_.Apply(response);
  }
  void CatchUp() { ASSERT_OK(Apply(FeedEntry::KIND_CAUGHT_UP, "", "", 0)); }

  testing::TempDir folder_;
  engine::LoadedModel loaded_;
  engine::LocalPackSource source_{loaded_.model.get(), *loaded_.format};
  engine::PackCache packs_{{.lifetime = std::chrono::milliseconds(1)}, &source_};
  telemetry::Metrics metrics_;
  clients::ErasureLedger ledger_{RealClock()};
  ErasureConsumer consumer_{&packs_, &ledger_, &metrics_};
};

TEST_F(ErasureConsumerTest, WhileTheFeedIsFollowedBlocksStayUntilTheirMemoryIsDeleted) {
  ASSERT_TRUE(consumer_.Positions().empty());
  CatchUp();
  ASSERT_OK(Load("a", "m1"));
  ASSERT_OK(Load("a", "m2"));
  ASSERT_OK(Load("b", "m1"));
  const int64_t bytes = packs_.size_bytes();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // twenty lifetimes
  EXPECT_EQ(packs_.size_bytes(), bytes);
  ASSERT_OK(Apply(FeedEntry::KIND_DELETE, "a", "m1", 7));
  EXPECT_LT(packs_.size_bytes(), bytes);
  EXPECT_THAT(Load("a", "m1"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(Load("a", "m2"));
  EXPECT_OK(Load("b", "m1"));
  EXPECT_GT(metrics_.GetCounter("dki_generation_erased_blocks_total", "")->value(), 0);
  EXPECT_EQ(consumer_.Positions(), (std::map<std::string, int64_t>{{"a", 7}}));
  // And it is known for the receipt.
  clients::DueErasure due;
  due.set_tenant_id("a");
  due.set_after_position(6);
  due.set_position(7);
  EXPECT_TRUE(ledger_.HasApplied(due));
  EXPECT_EQ(ledger_.Items(due, kPackStore).items(), packs_.stats().erased);
  due.set_position(8);
  EXPECT_FALSE(ledger_.HasApplied(due));
}

TEST_F(ErasureConsumerTest, WithoutTheFeedBlocksSoonGo) {
  ASSERT_OK(Load("a", "m1"));
  while (packs_.size_bytes() > 0) std::this_thread::yield();
  CatchUp();
  ASSERT_OK(Load("a", "m1"));
  EXPECT_GT(packs_.size_bytes(), 0);
  consumer_.Positions();  // a new stream: the old one was lost
  while (packs_.size_bytes() > 0) std::this_thread::yield();
}

TEST_F(ErasureConsumerTest, ChangesDropAndTenantsComeBack) {
  CatchUp();
  ASSERT_OK(Load("a", "m1"));
  ASSERT_OK(Apply(FeedEntry::KIND_UPSERT, "a", "m1", 1));
  EXPECT_GT(packs_.size_bytes(), 0) << "its first version";
  ASSERT_OK(Apply(FeedEntry::KIND_UPSERT, "a", "m1", 2, /*version=*/2));
  EXPECT_EQ(packs_.stats().erased, 2) << "the memory's block, and the footer behind it";
  ASSERT_OK(Load("a", "m1"));
  ASSERT_OK(Apply(FeedEntry::KIND_ERASE_TENANT, "a", "", 3));
  EXPECT_EQ(packs_.size_bytes(), 0);
  EXPECT_THAT(Load("a", "m9"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(Apply(FeedEntry::KIND_UPSERT, "a", "m9", 4));
  EXPECT_OK(Load("a", "m9"));
}

TEST_F(ErasureConsumerTest, AnotherDatabaseDropsAll) {
  CatchUp();
  ASSERT_OK(Load("a", "m1"));
  ASSERT_OK(Apply(FeedEntry::KIND_UPSERT, "a", "m2", 5));
  ASSERT_OK(consumer_.StartOver(OutOfRange("another one")));
  EXPECT_EQ(packs_.size_bytes(), 0);
  EXPECT_TRUE(consumer_.Positions().empty());
}

}  // namespace
}  // namespace dki::generation
