// SPDX-License-Identifier: Apache-2.0
// The service as it is configured, with the real model: a fact is found by a question in
// other words.
#include "services/retrieval/server.h"

#include "dki/retrieval/v1/retrieval_service.grpc.pb.h"
#include "libs/model/test_models.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/retrieval/test_feed.h"

namespace dki::retrieval {
namespace {

using ::dki::testing::StatusIs;
using ::testing::HasSubstr;

TEST(BuildRetrievalServerTest, ErrorsNameTheField) {
  const auto runtime = rpc::ServiceRuntime::ForTesting();
  config::v1::RetrievalServer config = DefaultConfig();
  config.mutable_memory_store()->set_address("");
  EXPECT_THAT(BuildRetrievalServer(config, runtime.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("memory_store.address")));
  config = DefaultConfig();
  config.set_threads(-1);
  EXPECT_THAT(BuildRetrievalServer(config, runtime.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("threads is -1")));
  config = DefaultConfig();
  config.set_embedding_model("/nonexistent");
  const auto server = BuildRetrievalServer(config, runtime.get());
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(ToString(server.status()), HasSubstr("embedding_model"));
}

config::v1::Server ListenOn(const std::string& socket) {
  config::v1::Server config = rpc::DefaultServer(0);
  config.set_listen("unix:" + socket);
  config.set_metrics_listen("");
  return config;
}

TEST(RetrievalServerTest, AQuestionFindsTheFactThatAnswersIt) {
  DKI_SKIP_WITHOUT(model::DefaultEmbedderPath());
  const testing::TempDir dir;
  const auto store_runtime = rpc::ServiceRuntime::ForTesting("store");
  FakeMemoryStore store(store_runtime.get());
  ASSERT_OK_AND_ASSIGN(
      const auto store_server,
      rpc::GrpcServer::Start(ListenOn(dir.File("store")), store_runtime.get(), &store));
  const auto runtime = rpc::ServiceRuntime::ForTesting("retrieval");
  config::v1::RetrievalServer config = DefaultConfig();
  config.mutable_memory_store()->set_address("unix:" + dir.File("store"));
  config.set_embedding_model(model::DefaultEmbedderPath());
  config.set_threads(1);
  ASSERT_OK_AND_ASSIGN(const auto instance, BuildRetrievalServer(config, runtime.get()));
  ASSERT_OK_AND_ASSIGN(const auto server, rpc::GrpcServer::Start(ListenOn(dir.File("retrieval")),
                                                                 runtime.get(), instance.get()));
  const auto stub =
      v1::RetrievalService::NewStub(rpc::CreateChannel("unix:" + dir.File("retrieval")));
  const auto context = [&] {
    return rpc::OutgoingContext(runtime->cluster_key(), "t", "r", std::chrono::minutes(2));
  };

  v1::EmbedRequest facts;
  facts.add_texts("Jack earns his living as a carpenter.");
  facts.add_texts("The cat sleeps on the windowsill.");
  facts.add_texts("Paris lies on the Seine.");
  v1::EmbedResponse vectors;
  ASSERT_OK(rpc::FromGrpcStatus(stub->Embed(context().get(), facts, &vectors)));
  EXPECT_EQ(vectors.dimension(), 384);
  for (int i = 0; i < facts.texts_size(); ++i) {
    memory::v1::FeedEntry entry = UpsertEntry("t", i + 1, absl::StrFormat("mem_%d", i), "");
    entry.mutable_vector()->set_values(vectors.embeddings(i).values());
    entry.mutable_vector()->set_embedding_fingerprint(vectors.embedding_fingerprint());
    store.Add(entry);
  }
  v1::SearchRequest request;
  request.set_query("What does Jack do for work?");
  request.set_k(3);
  request.set_min_position(3);
  v1::SearchResponse response;
  ASSERT_OK(rpc::FromGrpcStatus(stub->Search(context().get(), request, &response)));
  ASSERT_EQ(response.hits_size(), 3);
  EXPECT_EQ(response.hits(0).memory_id(), "mem_0");
  EXPECT_GT(response.hits(0).cosine(), 0.3f);
  EXPECT_LT(response.hits(1).cosine(), 0.3f);
}

}  // namespace
}  // namespace dki::retrieval
