// SPDX-License-Identifier: Apache-2.0
#include "services/kv/tier_stack.h"

#include <gmock/gmock.h>

#include <thread>

#include "libs/kvcache/test_blocks.h"
#include "libs/kvcache/test_data_keys.h"
#include "libs/testing/redis.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/kv/erasure_consumer.h"
#include "services/kv/operator_api.h"

namespace dki::kv {
namespace {

using kvcache::kTestShape;
using kvcache::StoredBlock;
using kvcache::TierName;
using memory::v1::FeedEntry;
using testing::StatusIs;

StoredBlock Stored(const kvcache::TestBlockSpec& spec) {
  const kvcache::Block block = kvcache::TestBlock(spec);
  return {block.identity, block.chain_memory_ids,
          std::make_shared<const std::string>(kvcache::Encoded(block)), 0.25};
}

// A worker with a disk of its own and the remote server it is given.
struct Worker {
  explicit Worker(const std::string& remote, kvcache::DataKeys* data_keys = nullptr)
      : keys(data_keys) {
    settings.ram = {.bytes = 1 << 20};
    settings.disk = {.bytes = 1 << 20};
    settings.disk_path = folder.File("db");
    if (!remote.empty()) {
      settings.remote = {.pool = {.address = remote,
                                  .timeout = std::chrono::milliseconds(5000),
                                  .rest = std::chrono::milliseconds(0)},
                         .prefix = "dki:",
                         .ttl = absl::Hours(1)};
    }
    Start();
  }
  void Start() {
    tiers = nullptr;
    auto opened = TierStack::Open(settings, kTestShape, keys, &metrics);
    DKI_CHECK(opened.ok());
    tiers = *std::move(opened);
  }
  std::optional<TierName> Get(const StoredBlock& block) {
    const auto hit = tiers->serving()->Get(block.identity);
    return hit ? std::optional(hit->tier) : std::nullopt;
  }
  // Writing is behind: until it is there.
  void WaitForRemote(const StoredBlock& block) {
    while (!tiers->remote()->Get(block.identity)) std::this_thread::yield();
  }

  kvcache::DataKeys* keys;
  testing::TempDir folder;
  telemetry::Metrics metrics;
  Settings settings;
  std::unique_ptr<TierStack> tiers;
};

TEST(TierStackTest, ABlockOfOneWorkerServesAnother) {
  testing::TestRedis server;
  Worker a(server.address()), b(server.address());
  const StoredBlock block = Stored({});
  a.tiers->serving()->Put(block);
  EXPECT_EQ(a.Get(block), TierName::kRam);
  a.WaitForRemote(block);
  const std::vector<kvcache::BlockIdentity> identities = {Stored({.variant = 7}).identity,
                                                          block.identity};
  const auto places = b.tiers->serving()->Locate(identities);
  EXPECT_FALSE(places[0]);
  ASSERT_TRUE(places[1]);
  EXPECT_EQ(places[1]->tier, TierName::kRemote);
  EXPECT_EQ(b.Get(block), TierName::kRemote);
  EXPECT_EQ(b.Get(block), TierName::kRam) << "promoted";
  b.Start();
  EXPECT_EQ(b.Get(block), TierName::kDisk) << "to the disk, too";
}

TEST(TierStackTest, WithoutARemoteAndWithoutADiskItStillWorks) {
  Worker worker("");
  worker.settings.disk_path = "";
  worker.Start();
  worker.tiers->serving()->Put(Stored({}));
  EXPECT_EQ(worker.Get(Stored({})), TierName::kRam);
  EXPECT_EQ(worker.tiers->remote(), nullptr);
  EXPECT_EQ(worker.tiers->disk(), nullptr);
}

TEST(TierStackTest, ARemoteThatIsAwayHoldsUpNothing) {
  testing::TestRedis server;
  server.Stop();
  Worker worker(server.address());
  const StoredBlock block = Stored({});
  worker.tiers->serving()->Put(block);
  EXPECT_EQ(worker.Get(block), TierName::kRam);
  EXPECT_OK(worker.tiers->serving()->Erase("tenant", "m1"));
  EXPECT_FALSE(worker.Get(block));
  server.Start();
  worker.tiers->serving()->Put(block);
  worker.WaitForRemote(block);
}

TEST(TierStackTest, AServerThatIsNotSetUpForItIsRefused) {
  testing::TestRedis server({"--appendonly", "yes"});
  Worker worker("");
  worker.settings.remote = {.pool = {.address = server.address()}};
  worker.tiers = nullptr;
  EXPECT_THAT(TierStack::Open(worker.settings, kTestShape, nullptr, &worker.metrics).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, ::testing::HasSubstr("remote")));
}

TEST(TierStackTest, AnOperatorEvictsFromTheRemoteTierToo) {
  testing::TestRedis server;
  Worker worker(server.address());
  const StoredBlock block = Stored({});
  worker.tiers->serving()->Put(block);
  worker.WaitForRemote(block);
  const OperatorApi operators({.serving = worker.tiers->serving(),
                               .remote = worker.tiers->remote(),
                               .tiers = {{TierName::kRam, worker.tiers->ram()}}});
  v1::EvictBlocksRequest request;
  request.set_all(true);
  v1::EvictBlocksResponse response;
  ASSERT_OK(operators.Evict(block.identity.tenant_id, request, &response));
  EXPECT_EQ(response.blocks(), 2);
  EXPECT_FALSE(worker.Get(block));
  EXPECT_FALSE(worker.tiers->remote()->Get(block.identity));

  server.Stop();
  EXPECT_THAT(operators.Evict(block.identity.tenant_id, request, &response),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(TierStackTest, WithKeysBothLowerTiersAreEncrypted) {
  testing::TestRedis server;
  kvcache::TestDataKeys keys;
  Worker a(server.address(), &keys), b(server.address(), &keys);
  StoredBlock block = Stored({});
  block.attributes.user_id = "ann";
  a.tiers->serving()->Put(block);
  a.WaitForRemote(block);
  EXPECT_EQ(b.Get(block), TierName::kRemote);
  b.Start();
  EXPECT_EQ(b.Get(block), TierName::kDisk) << "promoted, sealed again";
  kvcache::RedisPool pool({.address = server.address()});
  const std::string key = pool.Run({{"KEYS", "*:b:*"}})->front().elements.at(0).text;
  const std::string stored = pool.Run({{"GET", key}})->front().text;
  EXPECT_EQ(stored.find(block.bytes->substr(block.bytes->size() - 32)), std::string::npos);
  b.Start();
  keys.SetUp(false);
  EXPECT_FALSE(b.Get(block)) << "a miss, not an error";
  b.tiers->serving()->Put(block);
  EXPECT_EQ(b.Get(block), TierName::kRam);
  keys.SetUp(true);
  b.Start();
  EXPECT_EQ(b.Get(block), TierName::kDisk);
  // The user is erased: what is left anywhere cannot be read.
  keys.Destroy("tenant", "ann");
  b.Start();
  EXPECT_FALSE(b.Get(block));
}

TEST(TierStackTest, ADiskThatWasNotEncryptedIsBegunAnew) {
  kvcache::TestDataKeys keys;
  Worker worker("");
  const StoredBlock block = Stored({});
  worker.tiers->serving()->Put(block);
  worker.Start();
  EXPECT_EQ(worker.Get(block), TierName::kDisk);
  worker.keys = &keys;
  worker.Start();
  EXPECT_TRUE(worker.tiers->disk()->was_recreated());
  EXPECT_FALSE(worker.Get(block));
}

class RemoteErasureTest : public ::testing::Test {
 protected:
  static memory::v1::FollowFeedResponse Deletion(int64_t position, const std::string& memory_id) {
    memory::v1::FollowFeedResponse response;
    FeedEntry* entry = response.add_entries();
    entry->set_tenant_id("tenant");
    entry->set_position(position);
    entry->set_kind(FeedEntry::KIND_DELETE);
    entry->set_memory_id(memory_id);
    return response;
  }

  testing::TestRedis server_;
  Worker worker_{server_.address()};
  ErasureConsumer local_ =
      ErasureConsumer::Local(worker_.tiers->serving(), worker_.tiers->disk(), &worker_.metrics);
  ErasureConsumer remote_ =
      ErasureConsumer::Remote(worker_.tiers->remote(), worker_.tiers->disk(), &worker_.metrics);
};

TEST_F(RemoteErasureTest, EachFollowsTheFeedForItsOwnTiers) {
  const StoredBlock block = Stored({});
  worker_.tiers->serving()->Put(block);
  worker_.WaitForRemote(block);
  ASSERT_OK(local_.Apply(Deletion(5, "m1")));
  EXPECT_TRUE(worker_.tiers->remote()->Get(block.identity));
  ASSERT_OK(remote_.Apply(Deletion(5, "m1")));
  EXPECT_FALSE(worker_.Get(block));
  worker_.tiers->serving()->Put(block);
  EXPECT_FALSE(worker_.Get(block)) << "gone for good";
}

TEST_F(RemoteErasureTest, WhileTheServerIsAwayOnlyItsOwnErasuresWait) {
  const StoredBlock block = Stored({});
  server_.Stop();
  EXPECT_OK(local_.Apply(Deletion(7, "m1")));
  EXPECT_THAT(remote_.Apply(Deletion(7, "m1")), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(local_.Positions().at("tenant"), 7);
  EXPECT_TRUE(remote_.Positions().empty());
  server_.Start();
  EXPECT_OK(remote_.Apply(Deletion(7, "m1")));
  EXPECT_EQ(remote_.Positions().at("tenant"), 7);
}

TEST_F(RemoteErasureTest, BothPositionsOutliveTheProcess) {
  ASSERT_OK(local_.Apply(Deletion(7, "m1")));
  ASSERT_OK(remote_.Apply(Deletion(3, "m1")));
  ErasureConsumer local =
      ErasureConsumer::Local(worker_.tiers->serving(), worker_.tiers->disk(), &worker_.metrics);
  ErasureConsumer remote =
      ErasureConsumer::Remote(worker_.tiers->remote(), worker_.tiers->disk(), &worker_.metrics);
  ASSERT_OK(local.ReadPositions());
  ASSERT_OK(remote.ReadPositions());
  EXPECT_EQ(local.Positions(), (std::map<std::string, int64_t>{{"tenant", 7}}));
  EXPECT_EQ(remote.Positions(), (std::map<std::string, int64_t>{{"tenant", 3}}));
}

}  // namespace
}  // namespace dki::kv
