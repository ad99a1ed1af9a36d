// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/memory_store_service.h"

#include "services/memory_store/memory_rules.h"
#include "services/memory_store/validate.h"

namespace dki::memory_store {
namespace {

using rpc::Call;
using rpc::Permission;

// For a follower to be known.
constexpr std::chrono::seconds kPatience{10};

// A service of the cluster that acts for no client.
bool IsOnOwnBehalf(const rpc::Caller& caller) {
  return caller.is_cluster && caller.key_id.empty();
}

Access AccessOf(const Call& call) {
  const rpc::Caller& caller = call.caller();
  return {.tenant_id = caller.tenant_id,
          .admin = caller.May(Permission::kAdmin) || IsOnOwnBehalf(caller),
          .deadline = call.deadline()};
}

// Whoever names no viewer sees every memory of the tenant.
template <typename Request>
absl::Status CheckViewer(const Call& call, const Request& request) {
  const rpc::Caller& caller = call.caller();
  if (request.has_viewer() || caller.is_cluster || caller.May(Permission::kAdmin)) {
    return absl::OkStatus();
  }
  return PermissionDenied("viewer: must be set, unless the key has the scope admin");
}

// The source class follows from the route: a key's holder writes as user, whatever the field says.
void SetSourceClass(const Call& call, v1::NewMemory* memory) {
  if (!call.caller().is_cluster || memory->source_class() == common::v1::SOURCE_CLASS_UNSPECIFIED) {
    memory->set_source_class(common::v1::SOURCE_CLASS_USER);
  }
}

// *response = what the repository returns.
template <typename Response>
absl::Status Give(absl::StatusOr<Response> result, Response* response) {
  if (!result.ok()) return result.status();
  response->Swap(&*result);
  return absl::OkStatus();
}

}  // namespace

grpc::Status MemoryStoreService::CreateMemory(grpc::ServerContext* context,
                                              const v1::CreateMemoryRequest* request,
                                              v1::CreateMemoryResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "CreateMemory", Permission::kMemoryWrite,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request, parts_.clock->Now()));
                       v1::BatchCreateMemoriesRequest batch;
                       batch.set_request_id(request->request_id());
                       *batch.add_memories() = request->memory();
                       SetSourceClass(call, batch.mutable_memories(0));
                       DKI_ASSIGN_OR_RETURN(auto created,
                                            parts_.memories->CreateMemories(AccessOf(call), batch));
                       response->Swap(created.mutable_results(0));
                       return absl::OkStatus();
                     });
}

grpc::Status MemoryStoreService::BatchCreateMemories(grpc::ServerContext* context,
                                                     const v1::BatchCreateMemoriesRequest* request,
                                                     v1::BatchCreateMemoriesResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "BatchCreateMemories", Permission::kMemoryWrite,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request, parts_.clock->Now()));
                       v1::BatchCreateMemoriesRequest batch = *request;
                       for (v1::NewMemory& memory : *batch.mutable_memories())
                         SetSourceClass(call, &memory);
                       return Give(parts_.memories->CreateMemories(AccessOf(call), batch),
                                   response);
                     });
}

grpc::Status MemoryStoreService::GetMemory(grpc::ServerContext* context,
                                           const v1::GetMemoryRequest* request,
                                           v1::GetMemoryResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "GetMemory", Permission::kMemoryRead,
                     [&](const Call& call) -> absl::Status {
                       v1::BatchGetMemoriesRequest batch;
                       batch.add_ids(request->id());
                       if (request->has_viewer()) *batch.mutable_viewer() = request->viewer();
                       DKI_RETURN_IF_ERROR(Validate(batch));
                       DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
                       DKI_ASSIGN_OR_RETURN(auto found,
                                            parts_.memories->GetMemories(AccessOf(call), batch));
                       if (found.memories().empty()) return MemoryNotFound(request->id());
                       response->mutable_memory()->Swap(found.mutable_memories(0));
                       return absl::OkStatus();
                     });
}

grpc::Status MemoryStoreService::BatchGetMemories(grpc::ServerContext* context,
                                                  const v1::BatchGetMemoriesRequest* request,
                                                  v1::BatchGetMemoriesResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "BatchGetMemories", Permission::kMemoryRead,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
                       return Give(parts_.memories->GetMemories(AccessOf(call), *request),
                                   response);
                     });
}

grpc::Status MemoryStoreService::ListMemories(grpc::ServerContext* context,
                                              const v1::ListMemoriesRequest* request,
                                              v1::ListMemoriesResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "ListMemories", Permission::kMemoryRead,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
                       return Give(parts_.memories->ListMemories(AccessOf(call), *request),
                                   response);
                     });
}

grpc::Status MemoryStoreService::UpdateMemory(grpc::ServerContext* context,
                                              const v1::UpdateMemoryRequest* request,
                                              v1::UpdateMemoryResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "UpdateMemory", Permission::kMemoryWrite,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request, parts_.clock->Now()));
                       DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
                       return Give(parts_.memories->UpdateMemory(AccessOf(call), *request),
                                   response);
                     });
}

grpc::Status MemoryStoreService::ListMemoryVersions(grpc::ServerContext* context,
                                                    const v1::ListMemoryVersionsRequest* request,
                                                    v1::ListMemoryVersionsResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "ListMemoryVersions", Permission::kMemoryRead,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
                       return Give(parts_.memories->ListMemoryVersions(AccessOf(call), *request),
                                   response);
                     });
}

grpc::Status MemoryStoreService::DeleteMemory(grpc::ServerContext* context,
                                              const v1::DeleteMemoryRequest* request,
                                              v1::DeleteMemoryResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "DeleteMemory", Permission::kMemoryWrite,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
                       return Give(parts_.memories->DeleteMemory(AccessOf(call), *request),
                                   response);
                     });
}

grpc::Status MemoryStoreService::EraseScope(grpc::ServerContext* context,
                                            const v1::EraseScopeRequest* request,
                                            v1::EraseScopeResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "EraseScope", Permission::kMemoryWrite,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       return Give(parts_.memories->EraseScope(AccessOf(call), *request), response);
                     });
}

grpc::Status MemoryStoreService::FollowFeed(grpc::ServerContext* context,
                                            const v1::FollowFeedRequest* request,
                                            grpc::ServerWriter<v1::FollowFeedResponse>* writer) {
  return rpc::Handle(
      *parts_.runtime, context, "FollowFeed", rpc::Requirement::Authenticated(),
      [&](const Call& call) -> absl::Status {
        const rpc::Caller& caller = call.caller();
        DKI_RETURN_IF_ERROR(Validate(*request));
        if (!IsOnOwnBehalf(caller) && !caller.May(Permission::kAdmin)) {
          return PermissionDenied("the feed needs an admin key or the cluster identity");
        }
        const bool own_tenant_only = request->own_tenant_only() || !IsOnOwnBehalf(caller);
        if (own_tenant_only && caller.tenant_id.empty()) {
          return InvalidArgument("own_tenant_only: the caller acts for no tenant");
        }
        if (!request->service().empty()) {
          if (!IsOnOwnBehalf(caller)) {
            return PermissionDenied("service: only the cluster's services report erasures");
          }
          if (parts_.erasures != nullptr) {
            DKI_RETURN_IF_ERROR(parts_.erasures->AddKey(
                request->service(), request->public_key(),
                /*is_follower=*/true, std::chrono::system_clock::now() + kPatience));
          }
        }
        FeedFollower::Reader reader;
        if (own_tenant_only) reader.tenant_id = caller.tenant_id;
        reader.with_vectors = !request->without_vectors();
        for (const auto& start : request->starts()) {
          const bool follows = !own_tenant_only || start.tenant_id() == caller.tenant_id;
          if (follows && start.after_position() > 0)
            reader.positions[start.tenant_id()] = start.after_position();
        }
        reader.send = [&](const v1::FollowFeedResponse& response) {
          return writer->Write(response);
        };
        reader.is_cancelled = [&] { return call.IsCancelled(); };
        return parts_.follower->Follow(std::move(reader));
      });
}

grpc::Status MemoryStoreService::WakeFeed(grpc::ServerContext* context, const v1::WakeFeedRequest*,
                                          v1::WakeFeedResponse*) {
  return rpc::Handle(*parts_.runtime, context, "WakeFeed", rpc::Requirement::ClusterOnly(),
                     [&](const Call&) {
                       parts_.follower->Wake();
                       return absl::OkStatus();
                     });
}

grpc::Status MemoryStoreService::CreateConversation(grpc::ServerContext* context,
                                                    const v1::CreateConversationRequest* request,
                                                    v1::CreateConversationResponse* response) {
  return rpc::Handle(
      *parts_.runtime, context, "CreateConversation", Permission::kChat,
      [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(Validate(*request));
        return Give(parts_.conversations->CreateConversation(AccessOf(call), *request), response);
      });
}

grpc::Status MemoryStoreService::AppendMessages(grpc::ServerContext* context,
                                                const v1::AppendMessagesRequest* request,
                                                v1::AppendMessagesResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "AppendMessages", Permission::kChat,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
                       return Give(parts_.conversations->AppendMessages(AccessOf(call), *request),
                                   response);
                     });
}

grpc::Status MemoryStoreService::ListMessages(grpc::ServerContext* context,
                                              const v1::ListMessagesRequest* request,
                                              v1::ListMessagesResponse* response) {
  return rpc::Handle(*parts_.runtime, context, "ListMessages", Permission::kChat,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
                       return Give(parts_.conversations->ListMessages(AccessOf(call), *request),
                                   response);
                     });
}

grpc::Status MemoryStoreService::DeleteConversation(grpc::ServerContext* context,
                                                    const v1::DeleteConversationRequest* request,
                                                    v1::DeleteConversationResponse* response) {
  return rpc::Handle(
      *parts_.runtime, context, "DeleteConversation", Permission::kChat,
      [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(Validate(*request));
        DKI_RETURN_IF_ERROR(CheckViewer(call, *request));
        return Give(parts_.conversations->DeleteConversation(AccessOf(call), *request), response);
      });
}

}  // namespace dki::memory_store
