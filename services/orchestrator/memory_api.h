// SPDX-License-Identifier: Apache-2.0
// Purpose: the memory half of the client API: embeds and hands on to the store, with the tenant,
// the
//   source class and the viewer that the caller's key allows.
//
// A key without admin sees as the viewer that the request names (none set: memories of the whole
// tenant only). An admin key that names no viewer sees all of its tenant.
// Thread-safety: thread-safe. Ownership: the dependencies must outlive it.
#pragma once

#include <string>
#include <vector>

#include "dki/orchestrator/v1/dki_service.pb.h"
#include "services/orchestrator/retriever.h"
#include "services/orchestrator/tenant_positions.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

class MemoryApi {
 public:
  MemoryApi(const Upstreams* upstreams, const Retriever* retriever, TenantPositions* positions)
      : upstreams_(*upstreams), retriever_(*retriever), positions_(*positions) {}

  absl::Status Add(const rpc::Call& call, const v1::AddMemoryRequest& request,
                   v1::AddMemoryResponse* response) const;
  absl::Status AddAll(const rpc::Call& call, const v1::AddMemoriesRequest& request,
                      v1::AddMemoriesResponse* response) const;
  absl::Status Get(const rpc::Call& call, const v1::GetMemoryRequest& request,
                   v1::GetMemoryResponse* response) const;
  absl::Status List(const rpc::Call& call, const v1::ListMemoriesRequest& request,
                    v1::ListMemoriesResponse* response) const;
  absl::Status Update(const rpc::Call& call, const v1::UpdateMemoryRequest& request,
                      v1::UpdateMemoryResponse* response) const;
  absl::Status ListVersions(const rpc::Call& call, const v1::ListMemoryVersionsRequest& request,
                            v1::ListMemoryVersionsResponse* response) const;
  absl::Status Delete(const rpc::Call& call, const v1::DeleteMemoryRequest& request,
                      v1::DeleteMemoryResponse* response) const;
  absl::Status Erase(const rpc::Call& call, const v1::EraseScopeRequest& request,
                     v1::EraseScopeResponse* response) const;
  absl::Status GetErasure(const rpc::Call& call, const v1::GetErasureRequest& request,
                          v1::GetErasureResponse* response) const;
  absl::Status ListErasureKeys(const rpc::Call& call, v1::ListErasureKeysResponse* response) const;
  absl::Status Search(const rpc::Call& call, const v1::SearchMemoriesRequest& request,
                      v1::SearchMemoriesResponse* response) const;
  absl::Status CreateConversation(const rpc::Call& call,
                                  const v1::CreateConversationRequest& request,
                                  v1::CreateConversationResponse* response) const;

 private:
  // UNAVAILABLE while embedding is away.
  absl::StatusOr<std::vector<memory::v1::Vector>> Embed(
      const rpc::Call& call, const std::vector<std::string>& texts) const;
  void Saw(const rpc::Call& call, int64_t position) const {
    positions_.Saw(call.caller().tenant_id, position);
  }

  const Upstreams& upstreams_;
  const Retriever& retriever_;
  TenantPositions& positions_;
};

}  // namespace dki::orchestrator
