// SPDX-License-Identifier: Apache-2.0
// Purpose: the client API on the wire: permission, then one domain function.
// Thread-safety: thread-safe. Ownership: what it calls must outlive it.
#pragma once

#include <vector>

#include "dki/orchestrator/v1/dki_service.grpc.pb.h"
#include "libs/rpc/service_runtime.h"
#include "services/orchestrator/chat_pipeline.h"
#include "services/orchestrator/cluster_status.h"
#include "services/orchestrator/decision_api.h"
#include "services/orchestrator/kv_api.h"
#include "services/orchestrator/memory_api.h"

namespace dki::orchestrator {

class DkiServiceRpc final : public v1::DkiService::Service {
 public:
  struct Parts {
    rpc::ServiceRuntime* runtime;
    ChatPipeline* chat;
    const MemoryApi* memories;
    const DecisionApi* decisions;
    const KvApi* kv;
    ModelInfo* model;
    std::vector<ClusterPart> cluster;
  };
  explicit DkiServiceRpc(Parts parts) : parts_(std::move(parts)) {}

  grpc::Status AddMemory(grpc::ServerContext* context, const v1::AddMemoryRequest* request,
                         v1::AddMemoryResponse* response) override;
  grpc::Status AddMemories(grpc::ServerContext* context, const v1::AddMemoriesRequest* request,
                           v1::AddMemoriesResponse* response) override;
  grpc::Status GetMemory(grpc::ServerContext* context, const v1::GetMemoryRequest* request,
                         v1::GetMemoryResponse* response) override;
  grpc::Status ListMemories(grpc::ServerContext* context, const v1::ListMemoriesRequest* request,
                            v1::ListMemoriesResponse* response) override;
  grpc::Status UpdateMemory(grpc::ServerContext* context, const v1::UpdateMemoryRequest* request,
                            v1::UpdateMemoryResponse* response) override;
  grpc::Status ListMemoryVersions(grpc::ServerContext* context,
                                  const v1::ListMemoryVersionsRequest* request,
                                  v1::ListMemoryVersionsResponse* response) override;
  grpc::Status DeleteMemory(grpc::ServerContext* context, const v1::DeleteMemoryRequest* request,
                            v1::DeleteMemoryResponse* response) override;
  grpc::Status EraseScope(grpc::ServerContext* context, const v1::EraseScopeRequest* request,
                          v1::EraseScopeResponse* response) override;
  grpc::Status GetErasure(grpc::ServerContext* context, const v1::GetErasureRequest* request,
                          v1::GetErasureResponse* response) override;
  grpc::Status ListErasureKeys(grpc::ServerContext* context,
                               const v1::ListErasureKeysRequest* request,
                               v1::ListErasureKeysResponse* response) override;
  grpc::Status SearchMemories(grpc::ServerContext* context,
                              const v1::SearchMemoriesRequest* request,
                              v1::SearchMemoriesResponse* response) override;
  grpc::Status CreateConversation(grpc::ServerContext* context,
                                  const v1::CreateConversationRequest* request,
                                  v1::CreateConversationResponse* response) override;
  grpc::Status Chat(grpc::ServerContext* context, const v1::ChatRequest* request,
                    grpc::ServerWriter<v1::ChatResponse>* writer) override;
  grpc::Status GetDecision(grpc::ServerContext* context, const v1::GetDecisionRequest* request,
                           v1::GetDecisionResponse* response) override;
  grpc::Status ListDecisions(grpc::ServerContext* context, const v1::ListDecisionsRequest* request,
                             v1::ListDecisionsResponse* response) override;
  grpc::Status VerifyAudit(grpc::ServerContext* context, const v1::VerifyAuditRequest* request,
                           v1::VerifyAuditResponse* response) override;
  grpc::Status GetKvStats(grpc::ServerContext* context, const v1::GetKvStatsRequest* request,
                          v1::GetKvStatsResponse* response) override;
  grpc::Status ListKvBlocks(grpc::ServerContext* context, const v1::ListKvBlocksRequest* request,
                            v1::ListKvBlocksResponse* response) override;
  grpc::Status VerifyKvBlocks(grpc::ServerContext* context,
                              const v1::VerifyKvBlocksRequest* request,
                              v1::VerifyKvBlocksResponse* response) override;
  grpc::Status EvictKvBlocks(grpc::ServerContext* context, const v1::EvictKvBlocksRequest* request,
                             v1::EvictKvBlocksResponse* response) override;
  grpc::Status GetClusterStatus(grpc::ServerContext* context,
                                const v1::GetClusterStatusRequest* request,
                                v1::GetClusterStatusResponse* response) override;

 private:
  const Parts parts_;
};

}  // namespace dki::orchestrator
