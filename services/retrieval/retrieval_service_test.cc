// SPDX-License-Identifier: Apache-2.0
// The whole service over real connections: a feed in front, a client behind; only the model is
// fake.
#include "services/retrieval/retrieval_service.h"

#include <cstring>
#include <thread>

#include "libs/base/check.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/retrieval/instance.h"
#include "services/retrieval/test_feed.h"

namespace dki::retrieval {
namespace {

using ::dki::testing::StatusIs;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

class RetrievalServiceTest : public ::testing::Test {
 protected:
  explicit RetrievalServiceTest(milliseconds max_feed_wait = milliseconds(60'000))
      : options_{max_feed_wait} {
    store_server_ = Serve(dir_.File("store"), store_runtime_.get(), &store_);
    server_ = Serve(dir_.File("retrieval"), runtime_.get(), &instance_);
    stub_ = v1::RetrievalService::NewStub(rpc::CreateChannel("unix:" + dir_.File("retrieval")));
  }
  static std::unique_ptr<rpc::GrpcServer> Serve(const std::string& socket,
                                                rpc::ServiceRuntime* runtime,
                                                rpc::ServiceInstance* instance) {
    config::v1::Server config = rpc::DefaultServer(0);
    config.set_listen("unix:" + socket);
    config.set_metrics_listen("");
    auto server = rpc::GrpcServer::Start(config, runtime, instance);
    DKI_CHECK(server.ok());
    return *std::move(server);
  }

  absl::StatusOr<v1::SearchResponse> Search(const v1::SearchRequest& request,
                                            const std::string& tenant_id = "t",
                                            milliseconds timeout = milliseconds(60'000)) {
    v1::SearchResponse response;
    const auto context = rpc::OutgoingContext(runtime_->cluster_key(), tenant_id, "r", timeout);
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub_->Search(context.get(), request, &response)));
    return response;
  }
  static v1::SearchRequest About(const std::string& text, int64_t min_position = 0) {
    v1::SearchRequest request;
    request.set_query(text);
    request.set_k(5);
    request.set_min_position(min_position);
    return request;
  }

  testing::TempDir dir_;
  std::unique_ptr<rpc::ServiceRuntime> store_runtime_ = rpc::ServiceRuntime::ForTesting("store");
  std::unique_ptr<rpc::ServiceRuntime> runtime_ = rpc::ServiceRuntime::ForTesting("retrieval");
  RetrievalService::Options options_;
  FakeMemoryStore store_{store_runtime_.get()};
  Instance instance_{std::make_unique<FakeEmbedder>(), "unix:" + dir_.File("store"), RealClock(),
                     runtime_.get(), options_};
  std::unique_ptr<rpc::GrpcServer> store_server_;
  std::unique_ptr<rpc::GrpcServer> server_;
  std::unique_ptr<v1::RetrievalService::Stub> stub_;
};

TEST_F(RetrievalServiceTest, EmbedGivesVectorsInOrderAndTheirFingerprint) {
  v1::EmbedRequest request;
  request.add_texts("apple");
  request.add_texts("bread");
  v1::EmbedResponse response;
  const auto context = rpc::OutgoingContext(runtime_->cluster_key(), "", "r", milliseconds(60'000));
  ASSERT_TRUE(stub_->Embed(context.get(), request, &response).ok());
  ASSERT_EQ(response.embeddings_size(), 2);
  EXPECT_EQ(response.embedding_fingerprint(), kTestFingerprint);
  EXPECT_EQ(response.dimension(), FakeEmbedder::kDimension);
  std::vector<float> vector(FakeEmbedder::kDimension);
  ASSERT_EQ(response.embeddings(1).values().size(), vector.size() * sizeof(float));
  std::memcpy(vector.data(), response.embeddings(1).values().data(), vector.size() * sizeof(float));
  EXPECT_EQ(vector, FakeEmbedder::VectorOf("bread"));
}

TEST_F(RetrievalServiceTest, SearchSeesItsOwnWritesAndDeletes) {
  store_.Add(UpsertEntry("t", 1, "a", "apple"));
  store_.Add(UpsertEntry("u", 2, "theirs", "apple"));
  ASSERT_OK_AND_ASSIGN(const auto found, Search(About("apple", 1)));
  ASSERT_EQ(found.hits_size(), 1);
  EXPECT_EQ(found.hits(0).memory_id(), "a");
  EXPECT_NEAR(found.hits(0).cosine(), 1, 1e-5);
  EXPECT_EQ(found.position(), 1);
  EXPECT_EQ(found.embedding_fingerprint(), kTestFingerprint);

  store_.Add(DeleteEntry("t", 2, "a"));
  ASSERT_OK_AND_ASSIGN(const auto gone, Search(About("apple", 2)));
  EXPECT_EQ(gone.hits_size(), 0);
}

// The fake model's vectors know nothing of words, so only words can put this memory first.
TEST_F(RetrievalServiceTest, AHitByWordsAloneComesWithItsCosineAndGoesWithItsMemory) {
  for (int i = 1; i <= 200; ++i) {
    store_.Add(UpsertEntry("t", i, "m" + std::to_string(i), "note " + std::to_string(i)));
  }
  store_.Add(UpsertEntry("t", 201, "zebra", "The zebra's code is 4931."));
  memory::v1::FeedEntry bobs = UpsertEntry("t", 202, "bobs", "The zebra's code is 4932.");
  bobs.mutable_scope()->set_user_id("bob");
  store_.Add(bobs);
  store_.Add(UpsertEntry("u", 1, "theirs", "The zebra's code is 4933."));
  v1::SearchRequest request = About("What is the code of the zebra?", 202);
  request.set_word_weight(10);
  ASSERT_OK_AND_ASSIGN(const auto found, Search(request));
  ASSERT_EQ(found.hits_size(), 5);
  EXPECT_EQ(found.hits(0).memory_id(), "zebra");
  EXPECT_GT(found.hits(0).word_score(), 0.3);
  EXPECT_FLOAT_EQ(found.hits(0).score(), found.hits(0).cosine() + 10 * found.hits(0).word_score());
  for (int i = 1; i < 5; ++i) EXPECT_EQ(found.hits(i).word_score(), 0) << found.hits(i).memory_id();
  request.mutable_scope()->set_user_id("bob");
  ASSERT_OK_AND_ASSIGN(const auto of_bob, Search(request));
  EXPECT_GT(of_bob.hits(1).word_score(), 0.3);

  // Above every cosine of unrelated texts: the hit by words is left out, and the answer says so.
  request.clear_scope();
  request.set_threshold(0.99f);
  ASSERT_OK_AND_ASSIGN(const auto kept_out, Search(request));
  EXPECT_EQ(kept_out.hits_size(), 0);
  EXPECT_EQ(kept_out.n_below_threshold(), 5);
  request.clear_threshold();

  store_.Add(UpsertEntry("t", 203, "zebra", "Nothing of the kind."));
  request.set_min_position(203);
  ASSERT_OK_AND_ASSIGN(const auto changed, Search(request));
  for (const auto& hit : changed.hits()) EXPECT_EQ(hit.word_score(), 0);
  store_.Add(DeleteEntry("t", 204, "zebra"));
  request.set_query("nothing of the kind");
  request.set_min_position(204);
  ASSERT_OK_AND_ASSIGN(const auto gone, Search(request));
  for (const auto& hit : gone.hits()) EXPECT_EQ(hit.word_score(), 0);
}

TEST_F(RetrievalServiceTest, AQuestionThatLeansOnTheTurnBeforeIsSearchedWithIt) {
  store_.Add(UpsertEntry("t", 1, "a", "Mira keeps bees."));
  store_.Add(UpsertEntry("t", 2, "b", "Jonas plays chess."));
  v1::SearchRequest request = About("And her brother?", 2);
  request.add_recent("Tell me about Mira.");
  ASSERT_OK_AND_ASSIGN(const auto found, Search(request));
  EXPECT_EQ(found.n_recent_used(), 1);
  ASSERT_EQ(found.hits_size(), 2);
  for (const auto& hit : found.hits()) EXPECT_EQ(hit.word_score() > 0, hit.memory_id() == "a");
  request.set_query("Which game does Jonas play?");
  ASSERT_OK_AND_ASSIGN(const auto alone, Search(request));
  EXPECT_EQ(alone.n_recent_used(), 0);
}

class ImpatientServiceTest : public RetrievalServiceTest {
 protected:
  ImpatientServiceTest() : RetrievalServiceTest(milliseconds(50)) {}
};

TEST_F(ImpatientServiceTest, APositionThatDoesNotComeIsUnavailable) {
  while (!runtime_->ready()) std::this_thread::yield();
  EXPECT_THAT(Search(About("apple", 99)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("min_position is 99")));
}

TEST_F(RetrievalServiceTest, AThresholdOfZeroMeansZero) {
  // Of unrelated texts about half have a negative cosine.
  for (int i = 1; i <= 20; ++i) {
    store_.Add(UpsertEntry("t", i, "m" + std::to_string(i), std::to_string(i)));
  }
  v1::SearchRequest request = About("apple", 20);
  request.set_k(100);
  ASSERT_OK_AND_ASSIGN(const auto all, Search(request));
  EXPECT_EQ(all.hits_size(), 20);
  EXPECT_LT(all.hits(19).cosine(), 0);
  request.set_threshold(0);
  ASSERT_OK_AND_ASSIGN(const auto positive, Search(request));
  EXPECT_GT(positive.hits_size(), 0);
  EXPECT_LT(positive.hits_size(), 20);
  for (const auto& hit : positive.hits()) EXPECT_GE(hit.cosine(), 0);
}

TEST_F(RetrievalServiceTest, BadRequestsAndBadCallersAreRefused) {
  v1::SearchRequest bad = About("apple");
  bad.set_k(0);
  EXPECT_THAT(Search(bad), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("k is 0")));
  EXPECT_THAT(Search(About("apple"), ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tenant")));
  v1::SearchResponse response;
  const auto context = rpc::BearerContext("dki_key", "r", milliseconds(60'000));
  EXPECT_THAT(rpc::FromGrpcStatus(stub_->Search(context.get(), About("apple"), &response)),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("cluster identity")));
}

TEST_F(RetrievalServiceTest, StatusCountsTheTenantsMemories) {
  store_.Add(UpsertEntry("t", 1, "a", "apple"));
  store_.Add(UpsertEntry("t", 5, "b", "bread"));
  ASSERT_OK(Search(About("apple", 5)));
  v1::GetStatusResponse response;
  const auto context =
      rpc::OutgoingContext(runtime_->cluster_key(), "t", "r", milliseconds(60'000));
  ASSERT_TRUE(stub_->GetStatus(context.get(), {}, &response).ok());
  EXPECT_EQ(response.position(), 5);
  EXPECT_EQ(response.n_memories(), 2);
  EXPECT_EQ(response.embedding_fingerprint(), kTestFingerprint);
  EXPECT_TRUE(runtime_->ready());
}

}  // namespace
}  // namespace dki::retrieval
