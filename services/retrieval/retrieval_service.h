// SPDX-License-Identifier: Apache-2.0
// Purpose: RetrievalService on the wire: checks, embeds, searches, converts. Only the cluster's own
//   services may call it. Thread-safety: thread-safe.
#pragma once

#include <chrono>

#include "dki/retrieval/v1/retrieval_service.grpc.pb.h"
#include "libs/rpc/service_runtime.h"
#include "services/retrieval/tenant_indexes.h"
#include "services/retrieval/text_embedder.h"

namespace dki::retrieval {

class RetrievalService final : public v1::RetrievalService::Service {
 public:
  struct Options {
    // How long a search waits for its min_position where the client's deadline is not earlier.
    std::chrono::milliseconds max_feed_wait{5000};
    // Of a search that does not say otherwise.
    search::RankingOptions ranking = {};
    // Called when a search waits for its min_position.
    std::function<void()> on_wait = [] {};
  };

  RetrievalService(TextEmbedder* embedder, const TenantIndexes* indexes,
                   rpc::ServiceRuntime* runtime, Options options)
      : embedder_(embedder), indexes_(indexes), runtime_(runtime), options_(options) {}

  grpc::Status Embed(grpc::ServerContext* context, const v1::EmbedRequest* request,
                     v1::EmbedResponse* response) override;
  grpc::Status Search(grpc::ServerContext* context, const v1::SearchRequest* request,
                      v1::SearchResponse* response) override;
  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override;

 private:
  TextEmbedder* const embedder_;
  const TenantIndexes* const indexes_;
  rpc::ServiceRuntime* const runtime_;
  const Options options_;
};

}  // namespace dki::retrieval
