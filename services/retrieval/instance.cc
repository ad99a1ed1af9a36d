// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/instance.h"

#include <utility>

#include "libs/rpc/client.h"
#include "services/retrieval/faiss_vector_index.h"

namespace dki::retrieval {

Instance::Instance(std::unique_ptr<model::Embedder> embedder, const std::string& memory_store,
                   const Clock* clock, rpc::ServiceRuntime* runtime,
                   RetrievalService::Options options)
    : embedder_(std::move(embedder), &runtime->metrics()),
      indexes_([this] { return std::make_unique<FaissVectorIndex>(embedder_.dimension()); },
               embedder_.fingerprint(), clock, &runtime->metrics()),
      service_(&embedder_, &indexes_, runtime, options),
      index_consumer_(&indexes_, runtime),
      follower_(memory::v1::MemoryStoreService::NewStub(rpc::CreateChannel(memory_store)),
                &index_consumer_, runtime, IndexConsumer::FollowerOptions(&runtime->metrics())) {}

absl::Status Instance::Start() {
  follower_.Start();
  return absl::OkStatus();
}

}  // namespace dki::retrieval
