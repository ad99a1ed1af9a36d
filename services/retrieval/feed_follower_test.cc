// SPDX-License-Identifier: Apache-2.0
// The follower against a memory_store's feed over a real connection.
#include "libs/clients/feed_follower.h"

#include <atomic>
#include <thread>

#include "libs/base/check.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/retrieval/index_consumer.h"
#include "services/retrieval/scan_vector_index.h"
#include "services/retrieval/test_feed.h"

namespace dki::retrieval {
namespace {

using memory::v1::FeedEntry;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// Everything that follows the feed; nothing of it survives its end, as in a restarted process.
struct Reader {
  explicit Reader(const std::string& address,
                  std::chrono::milliseconds renew_after = std::chrono::milliseconds(100)) {
    clients::FeedFollower::Options options = IndexConsumer::FollowerOptions(&runtime->metrics());
    options.renew_after = renew_after;
    follower = std::make_unique<clients::FeedFollower>(
        [this, address] {
          ++connections;
          return memory::v1::MemoryStoreService::NewStub(rpc::CreateChannel(address));
        },
        &consumer, runtime.get(), options);
    follower->Start();
  }

  std::vector<std::string> Find(const std::string& tenant_id, int64_t min_position) {
    TenantIndexes::Query query;
    query.tenant_id = tenant_id;
    query.vector = FakeEmbedder::VectorOf("apple");
    query.k = 1000;
    query.min_position = min_position;
    Patience patience;
    patience.until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    patience.on_wait = [this] { follower->Hurry(); };
    const auto result = indexes.Search(query, patience);
    EXPECT_OK(result);
    std::set<std::string> ids;
    if (result.ok()) {
      for (const RankedHit& hit : result->hits) ids.insert(hit.memory_id);
    }
    return {ids.begin(), ids.end()};
  }

  std::atomic<int> connections = 0;
  std::unique_ptr<rpc::ServiceRuntime> runtime = rpc::ServiceRuntime::ForTesting("retrieval");
  TenantIndexes indexes{[] { return std::make_unique<ScanVectorIndex>(FakeEmbedder::kDimension); },
                        kTestFingerprint, RealClock(), &runtime->metrics()};
  clients::ErasureLedger ledger{RealClock()};
  IndexConsumer consumer{&indexes, &ledger, runtime.get()};
  std::unique_ptr<clients::FeedFollower> follower;
};

class FeedFollowerTest : public ::testing::Test {
 protected:
  FeedFollowerTest() { StartStore(); }
  void StartStore() {
    config::v1::Server config = rpc::DefaultServer(0);
    config.set_listen(address_);
    config.set_metrics_listen("");
    auto server = rpc::GrpcServer::Start(config, store_runtime_.get(), &store_);
    DKI_CHECK(server.ok());
    server_ = *std::move(server);
  }
  void StopStore() { server_.reset(); }

  testing::TempDir dir_;
  const std::string address_ = "unix:" + dir_.File("store");
  std::unique_ptr<rpc::ServiceRuntime> store_runtime_ = rpc::ServiceRuntime::ForTesting("store");
  FakeMemoryStore store_{store_runtime_.get()};
  std::unique_ptr<rpc::GrpcServer> server_;
};

TEST_F(FeedFollowerTest, ASearchThatWaitsWakesTheFeed) {
  store_.Add(UpsertEntry("t", 1, "a", "apple"));
  store_.on_wake = [this] { store_.Add(UpsertEntry("t", 2, "b", "apple")); };
  Reader reader(address_);
  EXPECT_THAT(reader.Find("t", 0), ElementsAre("a"));  // waits for the backlog, not for a position
  EXPECT_THAT(reader.Find("t", 2), ElementsAre("a", "b"));
}

TEST_F(FeedFollowerTest, BuildsFromTheBacklogAndFollowsOn) {
  store_.Add(UpsertEntry("t", 1, "a", "apple"));
  store_.Add(UpsertEntry("u", 1, "b", "apple"));
  store_.Add(UpsertEntry("t", 2, "c", "corn"));
  Reader reader(address_);
  EXPECT_THAT(reader.Find("t", 0), ElementsAre("a", "c"));  // waits for the backlog
  EXPECT_THAT(reader.Find("u", 0), ElementsAre("b"));
  EXPECT_TRUE(reader.runtime->ready());
  store_.Add(DeleteEntry("t", 3, "a"));
  EXPECT_THAT(reader.Find("t", 3), ElementsAre("c"));
}

TEST_F(FeedFollowerTest, IsReadyWhenThereIsNothing) {
  Reader reader(address_);
  EXPECT_THAT(reader.Find("t", 0), IsEmpty());
  EXPECT_TRUE(reader.runtime->ready());
}

TEST_F(FeedFollowerTest, ResumesAfterABrokenStream) {
  store_.Add(UpsertEntry("t", 7, "a", "apple"));
  Reader reader(address_);
  EXPECT_THAT(reader.Find("t", 7), ElementsAre("a"));
  store_.BreakStreams();
  EXPECT_THAT(store_.WaitForStreams(2)[1], ElementsAre(Pair("t", 7)));
  store_.Add(UpsertEntry("t", 8, "b", "bread"));
  EXPECT_THAT(reader.Find("t", 8), ElementsAre("a", "b"));
  EXPECT_EQ(reader.runtime->metrics().GetCounter("dki_retrieval_feed_entries_total", "")->value(),
            4);  // a, caught up, caught up again, b: nothing was sent twice
}

TEST_F(FeedFollowerTest, AfterErasuresItGoesOnThroughAnotherConnection) {
  store_.Add(UpsertEntry("t", 1, "a", "apple"));
  store_.Add(UpsertEntry("t", 2, "b", "bread"));
  Reader reader(address_);
  EXPECT_THAT(reader.Find("t", 2), ElementsAre("a", "b"));
  EXPECT_EQ(reader.connections, 1);
  store_.Add(DeleteEntry("t", 3, "a"));
  // At once, and again when it has been quiet: the second may have carried further erasures.
  while (reader.connections < 3) std::this_thread::yield();
  store_.Add(UpsertEntry("t", 4, "c", "cake"));
  EXPECT_THAT(reader.Find("t", 4), ElementsAre("b", "c"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_EQ(reader.connections, 3);
  EXPECT_TRUE(reader.runtime->ready());
}

TEST_F(FeedFollowerTest, GoesOnWhileTheStoreIsAwayAndCatchesUpWhenItIsBack) {
  store_.Add(UpsertEntry("t", 1, "a", "apple"));
  Reader reader(address_);
  EXPECT_THAT(reader.Find("t", 1), ElementsAre("a"));
  StopStore();
  EXPECT_THAT(reader.Find("t", 1), ElementsAre("a"));
  EXPECT_TRUE(reader.runtime->ready());
  store_.Add(DeleteEntry("t", 2, "a"));
  StartStore();
  EXPECT_THAT(reader.Find("t", 2), IsEmpty());
}

TEST_F(FeedFollowerTest, StartsBeforeTheStore) {
  StopStore();
  store_.Add(UpsertEntry("t", 1, "a", "apple"));
  Reader reader(address_);
  EXPECT_FALSE(reader.runtime->ready());
  StartStore();
  EXPECT_THAT(reader.Find("t", 1), ElementsAre("a"));
}

TEST_F(FeedFollowerTest, ARestartedReaderRebuildsTheSameFromNothing) {
  for (int i = 1; i <= 1000; ++i) {
    const std::string id = std::to_string(i % 300);
    store_.Add(i % 4 == 0 ? DeleteEntry("t", i, id) : UpsertEntry("t", i, id, std::to_string(i)));
  }
  std::vector<std::string> before;
  {
    Reader reader(address_);
    before = reader.Find("t", 1000);
  }
  Reader again(address_);
  EXPECT_FALSE(before.empty());
  EXPECT_EQ(again.Find("t", 1000), before);
}

TEST_F(FeedFollowerTest, StartsOverWhenTheDatabaseIsAnotherOne) {
  store_.Add(UpsertEntry("t", 10, "a", "apple"));
  Reader reader(address_);
  EXPECT_THAT(reader.Find("t", 10), ElementsAre("a"));
  store_.Replace({UpsertEntry("t", 1, "b", "bread")});
  EXPECT_THAT(store_.WaitForStreams(3)[2], IsEmpty());  // the second one was refused
  EXPECT_THAT(reader.Find("t", 1), ElementsAre("b"));
}

}  // namespace
}  // namespace dki::retrieval
