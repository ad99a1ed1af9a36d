// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/instance.h"

#include <utility>

#include "libs/rpc/client.h"

namespace dki::retrieval {

Instance::Instance(std::unique_ptr<model::Embedder> embedder, const std::string& memory_store,
                   const Clock* clock, rpc::ServiceRuntime* runtime,
                   RetrievalService::Options options, ScanVectorIndex::Options index_options)
    : embedder_(std::move(embedder), &runtime->metrics()),
      indexes_(
          [this, index_options] {
            return std::make_unique<ScanVectorIndex>(embedder_.dimension(), index_options);
          },
          embedder_.fingerprint(), clock, &runtime->metrics()),
      upkeep_(&indexes_),
      service_(&embedder_, &indexes_, runtime, Hurrying(options)),
      ledger_(clock),
      index_consumer_(&indexes_, &ledger_, runtime),
      follower_(
          [memory_store] {
            return memory::v1::MemoryStoreService::NewStub(rpc::CreateChannel(memory_store));
          },
          &index_consumer_, runtime, IndexConsumer::FollowerOptions(&runtime->metrics())),
      reporter_(
          erasure::v1::ErasureService::NewStub(rpc::CreateChannel(memory_store)), runtime, &ledger_,
          [this](const clients::DueErasure& due) {
            return std::vector<erasure::v1::ErasedItems>{ledger_.Items(due, kErasureStore)};
          },
          clients::ErasureReporter::Options()) {}

RetrievalService::Options Instance::Hurrying(RetrievalService::Options options) {
  options.on_wait = [this] { follower_.Hurry(); };
  return options;
}

absl::Status Instance::Start() {
  upkeep_.Start();
  follower_.Start();
  reporter_.Start();
  return absl::OkStatus();
}

void Instance::Drain() {
  reporter_.Stop();
  follower_.Stop();
  upkeep_.Stop();
}

}  // namespace dki::retrieval
