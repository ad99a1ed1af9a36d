// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/dki_service.h"

#include "libs/rpc/call.h"

namespace dki::orchestrator {

using rpc::Call;
using rpc::Handle;
using rpc::Permission;

grpc::Status DkiServiceRpc::AddMemory(grpc::ServerContext* context,
                                      const v1::AddMemoryRequest* request,
                                      v1::AddMemoryResponse* response) {
  return Handle(*parts_.runtime, context, "AddMemory", Permission::kMemoryWrite,
                [&](const Call& call) { return parts_.memories->Add(call, *request, response); });
}

grpc::Status DkiServiceRpc::AddMemories(grpc::ServerContext* context,
                                        const v1::AddMemoriesRequest* request,
                                        v1::AddMemoriesResponse* response) {
  return Handle(
      *parts_.runtime, context, "AddMemories", Permission::kMemoryWrite,
      [&](const Call& call) { return parts_.memories->AddAll(call, *request, response); });
}

grpc::Status DkiServiceRpc::GetMemory(grpc::ServerContext* context,
                                      const v1::GetMemoryRequest* request,
                                      v1::GetMemoryResponse* response) {
  return Handle(*parts_.runtime, context, "GetMemory", Permission::kMemoryRead,
                [&](const Call& call) { return parts_.memories->Get(call, *request, response); });
}

grpc::Status DkiServiceRpc::ListMemories(grpc::ServerContext* context,
                                         const v1::ListMemoriesRequest* request,
                                         v1::ListMemoriesResponse* response) {
  return Handle(*parts_.runtime, context, "ListMemories", Permission::kMemoryRead,
                [&](const Call& call) { return parts_.memories->List(call, *request, response); });
}

grpc::Status DkiServiceRpc::UpdateMemory(grpc::ServerContext* context,
                                         const v1::UpdateMemoryRequest* request,
                                         v1::UpdateMemoryResponse* response) {
  return Handle(
      *parts_.runtime, context, "UpdateMemory", Permission::kMemoryWrite,
      [&](const Call& call) { return parts_.memories->Update(call, *request, response); });
}

grpc::Status DkiServiceRpc::ListMemoryVersions(grpc::ServerContext* context,
                                               const v1::ListMemoryVersionsRequest* request,
                                               v1::ListMemoryVersionsResponse* response) {
  return Handle(
      *parts_.runtime, context, "ListMemoryVersions", Permission::kMemoryRead,
      [&](const Call& call) { return parts_.memories->ListVersions(call, *request, response); });
}

grpc::Status DkiServiceRpc::DeleteMemory(grpc::ServerContext* context,
                                         const v1::DeleteMemoryRequest* request,
                                         v1::DeleteMemoryResponse* response) {
  return Handle(
      *parts_.runtime, context, "DeleteMemory", Permission::kMemoryWrite,
      [&](const Call& call) { return parts_.memories->Delete(call, *request, response); });
}

grpc::Status DkiServiceRpc::EraseScope(grpc::ServerContext* context,
                                       const v1::EraseScopeRequest* request,
                                       v1::EraseScopeResponse* response) {
  return Handle(*parts_.runtime, context, "EraseScope", Permission::kMemoryWrite,
                [&](const Call& call) { return parts_.memories->Erase(call, *request, response); });
}

grpc::Status DkiServiceRpc::GetErasure(grpc::ServerContext* context,
                                       const v1::GetErasureRequest* request,
                                       v1::GetErasureResponse* response) {
  return Handle(
      *parts_.runtime, context, "GetErasure", Permission::kMemoryWrite,
      [&](const Call& call) { return parts_.memories->GetErasure(call, *request, response); });
}

grpc::Status DkiServiceRpc::ListErasureKeys(grpc::ServerContext* context,
                                            const v1::ListErasureKeysRequest* /*request*/,
                                            v1::ListErasureKeysResponse* response) {
  return Handle(*parts_.runtime, context, "ListErasureKeys", rpc::Requirement::Authenticated(),
                [&](const Call& call) { return parts_.memories->ListErasureKeys(call, response); });
}

grpc::Status DkiServiceRpc::SearchMemories(grpc::ServerContext* context,
                                           const v1::SearchMemoriesRequest* request,
                                           v1::SearchMemoriesResponse* response) {
  return Handle(
      *parts_.runtime, context, "SearchMemories", Permission::kMemoryRead,
      [&](const Call& call) { return parts_.memories->Search(call, *request, response); });
}

grpc::Status DkiServiceRpc::CreateConversation(grpc::ServerContext* context,
                                               const v1::CreateConversationRequest* request,
                                               v1::CreateConversationResponse* response) {
  return Handle(*parts_.runtime, context, "CreateConversation", Permission::kChat,
                [&](const Call& call) {
                  return parts_.memories->CreateConversation(call, *request, response);
                });
}

grpc::Status DkiServiceRpc::GetDecision(grpc::ServerContext* context,
                                        const v1::GetDecisionRequest* request,
                                        v1::GetDecisionResponse* response) {
  return Handle(*parts_.runtime, context, "GetDecision", Permission::kMemoryRead,
                [&](const Call& call) { return parts_.decisions->Get(call, *request, response); });
}

grpc::Status DkiServiceRpc::ListDecisions(grpc::ServerContext* context,
                                          const v1::ListDecisionsRequest* request,
                                          v1::ListDecisionsResponse* response) {
  return Handle(*parts_.runtime, context, "ListDecisions", Permission::kMemoryRead,
                [&](const Call& call) { return parts_.decisions->List(call, *request, response); });
}

grpc::Status DkiServiceRpc::Chat(grpc::ServerContext* context, const v1::ChatRequest* request,
                                 grpc::ServerWriter<v1::ChatResponse>* writer) {
  return Handle(*parts_.runtime, context, "Chat", Permission::kChat, [&](const Call& call) {
    return parts_.chat->Run(call, *request,
                            [&](const v1::ChatResponse& event) { return writer->Write(event); });
  });
}

grpc::Status DkiServiceRpc::VerifyAudit(grpc::ServerContext* context,
                                        const v1::VerifyAuditRequest* /*request*/,
                                        v1::VerifyAuditResponse* response) {
  return Handle(*parts_.runtime, context, "VerifyAudit", Permission::kAdmin,
                [&](const Call& call) { return parts_.decisions->Verify(call, response); });
}

grpc::Status DkiServiceRpc::GetKvStats(grpc::ServerContext* context,
                                       const v1::GetKvStatsRequest* /*request*/,
                                       v1::GetKvStatsResponse* response) {
  return Handle(*parts_.runtime, context, "GetKvStats", Permission::kAdmin,
                [&](const Call& call) { return parts_.kv->GetStats(call, response); });
}

grpc::Status DkiServiceRpc::ListKvBlocks(grpc::ServerContext* context,
                                         const v1::ListKvBlocksRequest* request,
                                         v1::ListKvBlocksResponse* response) {
  return Handle(*parts_.runtime, context, "ListKvBlocks", Permission::kAdmin,
                [&](const Call& call) { return parts_.kv->List(call, *request, response); });
}

grpc::Status DkiServiceRpc::VerifyKvBlocks(grpc::ServerContext* context,
                                           const v1::VerifyKvBlocksRequest* /*request*/,
                                           v1::VerifyKvBlocksResponse* response) {
  return Handle(*parts_.runtime, context, "VerifyKvBlocks", Permission::kAdmin,
                [&](const Call& call) { return parts_.kv->Verify(call, response); });
}

grpc::Status DkiServiceRpc::EvictKvBlocks(grpc::ServerContext* context,
                                          const v1::EvictKvBlocksRequest* request,
                                          v1::EvictKvBlocksResponse* response) {
  return Handle(*parts_.runtime, context, "EvictKvBlocks", Permission::kAdmin,
                [&](const Call& call) { return parts_.kv->Evict(call, *request, response); });
}

grpc::Status DkiServiceRpc::GetClusterStatus(grpc::ServerContext* context,
                                             const v1::GetClusterStatusRequest* /*request*/,
                                             v1::GetClusterStatusResponse* response) {
  return Handle(*parts_.runtime, context, "GetClusterStatus", rpc::Requirement::Authenticated(),
                [&](const Call& call) {
                  *response = orchestrator::GetClusterStatus(parts_.cluster, parts_.model, call);
                  return absl::OkStatus();
                });
}

}  // namespace dki::orchestrator
