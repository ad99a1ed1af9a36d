// SPDX-License-Identifier: Apache-2.0
// Purpose: the object graph of the service around a given embedder.
//   feed ─► FeedFollower ─► IndexConsumer ─► TenantIndexes ◄─ RetrievalService ─► TextEmbedder
// Thread-safety: as ServiceInstance.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/clients/erasure_reporter.h"
#include "libs/clients/feed_follower.h"
#include "libs/model/embedder.h"
#include "libs/rpc/run_service.h"
#include "services/retrieval/index_consumer.h"
#include "services/retrieval/index_upkeep.h"
#include "services/retrieval/retrieval_service.h"
#include "services/retrieval/scan_vector_index.h"
#include "services/retrieval/tenant_indexes.h"
#include "services/retrieval/text_embedder.h"

namespace dki::retrieval {

class Instance final : public rpc::ServiceInstance {
 public:
  // `memory_store`: its address.
  Instance(std::unique_ptr<model::Embedder> embedder, const std::string& memory_store,
           const Clock* clock, rpc::ServiceRuntime* runtime, RetrievalService::Options options,
           ScanVectorIndex::Options index_options = {});

  std::vector<grpc::Service*> services() override { return {&service_}; }
  absl::Status Start() override;
  void Drain() override;

  const TenantIndexes& indexes() const { return indexes_; }

 private:
  // With a search that waits waking the feed.
  RetrievalService::Options Hurrying(RetrievalService::Options options);

  TextEmbedder embedder_;
  TenantIndexes indexes_;
  IndexUpkeep upkeep_;
  RetrievalService service_;
  clients::ErasureLedger ledger_;
  IndexConsumer index_consumer_;
  clients::FeedFollower follower_;
  clients::ErasureReporter reporter_;
};

}  // namespace dki::retrieval
