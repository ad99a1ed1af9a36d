// SPDX-License-Identifier: Apache-2.0
// Purpose: the fake of all repositories: everything in maps under one lock. For tests of what
// stands
//   on top of them; it is held to the same conformance suite as PostgreSQL.
// Thread-safety: thread-safe.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "services/memory_store/conversation_repository.h"
#include "services/memory_store/feed_signal.h"
#include "services/memory_store/feed_source.h"
#include "services/memory_store/memory_repository.h"
#include "services/memory_store/page_token.h"

namespace dki::memory_store {

class InMemoryStore : public MemoryRepository, public ConversationRepository, public FeedSource {
 public:
  InMemoryStore(FeedSignal* signal, const Clock* clock)
      : signal_(signal), clock_(clock), tokens_("secret of the fake") {}

  absl::StatusOr<v1::BatchCreateMemoriesResponse> CreateMemories(
      const Access& access, const v1::BatchCreateMemoriesRequest& request) override;
  absl::StatusOr<v1::BatchGetMemoriesResponse> GetMemories(
      const Access& access, const v1::BatchGetMemoriesRequest& request) override;
  absl::StatusOr<v1::ListMemoriesResponse> ListMemories(
      const Access& access, const v1::ListMemoriesRequest& request) override;
  absl::StatusOr<v1::UpdateMemoryResponse> UpdateMemory(
      const Access& access, const v1::UpdateMemoryRequest& request) override;
  absl::StatusOr<v1::ListMemoryVersionsResponse> ListMemoryVersions(
      const Access& access, const v1::ListMemoryVersionsRequest& request) override;
  absl::StatusOr<v1::DeleteMemoryResponse> DeleteMemory(
      const Access& access, const v1::DeleteMemoryRequest& request) override;
  absl::StatusOr<v1::EraseScopeResponse> EraseScope(const Access& access,
                                                    const v1::EraseScopeRequest& request) override;
  absl::StatusOr<int64_t> Sweep() override;

  absl::StatusOr<v1::CreateConversationResponse> CreateConversation(
      const Access& access, const v1::CreateConversationRequest& request) override;
  absl::StatusOr<v1::AppendMessagesResponse> AppendMessages(
      const Access& access, const v1::AppendMessagesRequest& request) override;
  absl::StatusOr<v1::ListMessagesResponse> ListMessages(
      const Access& access, const v1::ListMessagesRequest& request) override;
  absl::StatusOr<v1::DeleteConversationResponse> DeleteConversation(
      const Access& access, const v1::DeleteConversationRequest& request) override;

  absl::StatusOr<std::vector<FeedHead>> ReadHeads(const std::string& tenant_id) override;
  absl::StatusOr<FeedBatch> ReadFeed(const std::string& tenant_id, int64_t after_position,
                                     int limit, bool with_vectors) override;

  // As EraseTenantMemories and OpenTenantMemories.
  void EraseTenant(const std::string& tenant_id);
  void OpenTenant(const std::string& tenant_id);

 private:
  struct Row {
    v1::Memory memory;
    v1::Vector vector;
    std::vector<v1::MemoryVersion> history;
  };
  struct Conversation {
    common::v1::Scope scope;
    std::vector<common::v1::Message> messages;
  };
  struct Request {
    std::string hash;
    std::string response;
    int64_t create_us = 0;
  };
  struct Tenant {
    int64_t position = 0;
    bool erased = false;
    std::map<std::string, Row> memories;
    std::map<std::string, Conversation> conversations;
    std::map<std::string, Request> requests;
    std::vector<v1::FeedEntry> feed;  // kind, position and id only
  };

  // Runs `body` on a copy of the tenant and keeps the copy when it returns OK: all or nothing.
  absl::Status Write(const std::string& tenant_id,
                     const std::function<absl::Status(Tenant*)>& body);
  absl::Status Once(Tenant* tenant, const std::string& request_id,
                    const google::protobuf::Message& request,
                    google::protobuf::MessageLite* response,
                    const std::function<absl::Status()>& body);
  absl::StatusOr<Row*> Find(Tenant* tenant, const std::string& id, bool has_viewer,
                            const common::v1::Scope& viewer, bool also_expired) const;
  // The memory of this scope and text; deletes it when it has expired.
  Row* FindByContent(Tenant* tenant, const v1::Memory& wanted) const;
  bool IsExpired(const v1::Memory& memory) const;
  int64_t NowMicros() const { return absl::ToUnixMicros(clock_->Now()); }

  FeedSignal* const signal_;
  const Clock* const clock_;
  const PageTokens tokens_;
  Mutex mutex_;
  std::map<std::string, Tenant> tenants_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::memory_store
