// SPDX-License-Identifier: Apache-2.0
// Purpose: conversations and their messages. Implementations, requests and idempotency as in
//   memory_repository.h; a conversation has a scope and is seen by the same rule as a memory.
// Thread-safety: thread-safe.
#pragma once

#include "services/memory_store/memory_repository.h"

namespace dki::memory_store {

class ConversationRepository {
 public:
  virtual ~ConversationRepository() = default;

  virtual absl::StatusOr<v1::CreateConversationResponse> CreateConversation(
      const Access& access, const v1::CreateConversationRequest& request) = 0;
  virtual absl::StatusOr<v1::AppendMessagesResponse> AppendMessages(
      const Access& access, const v1::AppendMessagesRequest& request) = 0;
  virtual absl::StatusOr<v1::ListMessagesResponse> ListMessages(
      const Access& access, const v1::ListMessagesRequest& request) = 0;
  virtual absl::StatusOr<v1::DeleteConversationResponse> DeleteConversation(
      const Access& access, const v1::DeleteConversationRequest& request) = 0;
};

}  // namespace dki::memory_store
