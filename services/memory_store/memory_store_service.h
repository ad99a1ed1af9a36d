// SPDX-License-Identifier: Apache-2.0
// Purpose: MemoryStoreService on the wire: permission, validation, one call of a repository.
//   What the tenant's whole membership sees needs admin: to write a memory without a scope field,
//   and to read without a viewer (services of the cluster, which ask for their own purposes, may).
// Thread-safety: thread-safe. Ownership: owns none of what it is given.
#pragma once

#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/rpc/call.h"
#include "libs/rpc/service_runtime.h"
#include "services/memory_store/conversation_repository.h"
#include "services/memory_store/erasure_repository.h"
#include "services/memory_store/feed_follower.h"
#include "services/memory_store/memory_repository.h"

namespace dki::memory_store {

class MemoryStoreService final : public v1::MemoryStoreService::Service {
 public:
  struct Parts {
    rpc::ServiceRuntime* runtime;
    MemoryRepository* memories;
    ConversationRepository* conversations;
    const FeedFollower* follower;
    const Clock* clock;
    // Null: nobody is expected to report erasures.
    ErasureRepository* erasures = nullptr;
  };
  explicit MemoryStoreService(Parts parts) : parts_(parts) {}

  grpc::Status CreateMemory(grpc::ServerContext* context, const v1::CreateMemoryRequest* request,
                            v1::CreateMemoryResponse* response) override;
  grpc::Status BatchCreateMemories(grpc::ServerContext* context,
                                   const v1::BatchCreateMemoriesRequest* request,
                                   v1::BatchCreateMemoriesResponse* response) override;
  grpc::Status GetMemory(grpc::ServerContext* context, const v1::GetMemoryRequest* request,
                         v1::GetMemoryResponse* response) override;
  grpc::Status BatchGetMemories(grpc::ServerContext* context,
                                const v1::BatchGetMemoriesRequest* request,
                                v1::BatchGetMemoriesResponse* response) override;
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
  grpc::Status FollowFeed(grpc::ServerContext* context, const v1::FollowFeedRequest* request,
                          grpc::ServerWriter<v1::FollowFeedResponse>* writer) override;
  grpc::Status WakeFeed(grpc::ServerContext* context, const v1::WakeFeedRequest* request,
                        v1::WakeFeedResponse* response) override;
  grpc::Status CreateConversation(grpc::ServerContext* context,
                                  const v1::CreateConversationRequest* request,
                                  v1::CreateConversationResponse* response) override;
  grpc::Status AppendMessages(grpc::ServerContext* context,
                              const v1::AppendMessagesRequest* request,
                              v1::AppendMessagesResponse* response) override;
  grpc::Status ListMessages(grpc::ServerContext* context, const v1::ListMessagesRequest* request,
                            v1::ListMessagesResponse* response) override;
  grpc::Status DeleteConversation(grpc::ServerContext* context,
                                  const v1::DeleteConversationRequest* request,
                                  v1::DeleteConversationResponse* response) override;

 private:
  const Parts parts_;
};

}  // namespace dki::memory_store
