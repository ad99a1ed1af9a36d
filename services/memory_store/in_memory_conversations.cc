// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "libs/base/ids.h"
#include "services/memory_store/in_memory_store.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/validate.h"

namespace dki::memory_store {

absl::StatusOr<v1::CreateConversationResponse> InMemoryStore::CreateConversation(
    const Access& access, const v1::CreateConversationRequest& request) {
  v1::CreateConversationResponse response;
  DKI_RETURN_IF_ERROR(Write(access.tenant_id, [&](Tenant* tenant) {
    return Once(tenant, request.request_id(), request, &response, [&] {
      response.set_conversation_id(NewId("conv_"));
      tenant->conversations[response.conversation_id()].scope = request.scope();
      return absl::OkStatus();
    });
  }));
  return response;
}

absl::StatusOr<v1::AppendMessagesResponse> InMemoryStore::AppendMessages(
    const Access& access, const v1::AppendMessagesRequest& request) {
  v1::AppendMessagesResponse response;
  const auto append = [&](Tenant* tenant) -> absl::Status {
    const auto found = tenant->conversations.find(request.conversation_id());
    if (found == tenant->conversations.end() ||
        (request.has_viewer() && !IsVisible(found->second.scope, request.viewer()))) {
      return ConversationNotFound(request.conversation_id());
    }
    auto& messages = found->second.messages;
    messages.insert(messages.end(), request.messages().begin(), request.messages().end());
    response.set_n_messages(static_cast<int64_t>(messages.size()));
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(Write(access.tenant_id, [&](Tenant* tenant) {
    return Once(tenant, request.request_id(), request, &response, [&] { return append(tenant); });
  }));
  return response;
}

absl::StatusOr<v1::ListMessagesResponse> InMemoryStore::ListMessages(
    const Access& access, const v1::ListMessagesRequest& request) {
  MutexLock lock(&mutex_);
  const auto& conversations = tenants_[access.tenant_id].conversations;
  const auto found = conversations.find(request.conversation_id());
  if (found == conversations.end() ||
      (request.has_viewer() && !IsVisible(found->second.scope, request.viewer()))) {
    return ConversationNotFound(request.conversation_id());
  }
  const auto& messages = found->second.messages;
  const size_t limit =
      static_cast<size_t>(request.limit() == 0 ? kDefaultListedMessages : request.limit());
  v1::ListMessagesResponse response;
  for (size_t i = messages.size() - std::min(limit, messages.size()); i < messages.size(); ++i) {
    *response.add_messages() = messages[i];
  }
  return response;
}

absl::StatusOr<v1::DeleteConversationResponse> InMemoryStore::DeleteConversation(
    const Access& access, const v1::DeleteConversationRequest& request) {
  MutexLock lock(&mutex_);
  auto& conversations = tenants_[access.tenant_id].conversations;
  const auto found = conversations.find(request.conversation_id());
  if (found == conversations.end() ||
      (request.has_viewer() && !IsVisible(found->second.scope, request.viewer()))) {
    return ConversationNotFound(request.conversation_id());
  }
  conversations.erase(found);
  return v1::DeleteConversationResponse();
}

}  // namespace dki::memory_store
