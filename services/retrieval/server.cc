// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/server.h"

#include <utility>

#include "services/retrieval/instance.h"

namespace dki::retrieval {
namespace {

constexpr int kMaxThreads = 256;
// Below it there is nothing to gain, and too little to train with.
constexpr int kMinExactSearch = 1000;

}  // namespace

config::v1::RetrievalServer DefaultConfig() {
  config::v1::RetrievalServer config;
  *config.mutable_server() = rpc::DefaultServer(7102);
  config.mutable_memory_store()->set_address("127.0.0.1:7101");
  config.mutable_memory_store()->mutable_timeout()->set_seconds(5);
  config.set_embedding_model("all-MiniLM-L6-v2");
  config.set_threads(0);  // one per core
  config.set_exact_search_up_to(static_cast<int>(ScanVectorIndex::Options().exact_up_to));
  const search::RankingOptions ranking;
  config.set_word_weight(ranking.word_weight);
  config.set_recency_weight(ranking.recency_weight);
  config.mutable_recency_half_life()->set_seconds(absl::ToInt64Seconds(ranking.recency_half_life));
  return config;
}

absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildRetrievalServer(
    const config::v1::RetrievalServer& config, rpc::ServiceRuntime* runtime) {
  if (config.memory_store().address().empty()) {
    return InvalidArgument("memory_store.address must not be empty");
  }
  if (config.threads() < 0 || config.threads() > kMaxThreads) {
    return InvalidArgument("threads is %d; it must be 0 (one per core) to %d", config.threads(),
                           kMaxThreads);
  }
  if (config.exact_search_up_to() < kMinExactSearch) {
    return InvalidArgument("exact_search_up_to is %d; it must be at least %d",
                           config.exact_search_up_to(), kMinExactSearch);
  }
  RetrievalService::Options options;
  options.ranking = {.word_weight = config.word_weight(),
                     .recency_weight = config.recency_weight(),
                     .recency_half_life = absl::Seconds(config.recency_half_life().seconds()) +
                                          absl::Nanoseconds(config.recency_half_life().nanos())};
  DKI_RETURN_IF_ERROR(search::Validate(options.ranking));
  auto embedder = model::Embedder::Load(config.embedding_model(), config.threads());
  if (!embedder.ok()) return Annotate(embedder.status(), "embedding_model");
  return std::make_unique<Instance>(
      *std::move(embedder), config.memory_store().address(), RealClock(), runtime, options,
      ScanVectorIndex::Options{.exact_up_to = config.exact_search_up_to()});
}

}  // namespace dki::retrieval
