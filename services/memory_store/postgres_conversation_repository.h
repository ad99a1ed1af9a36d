// SPDX-License-Identifier: Apache-2.0
// Purpose: conversations in PostgreSQL. Thread-safety: thread-safe.
#pragma once

#include "libs/base/clock.h"
#include "services/memory_store/conversation_repository.h"
#include "services/memory_store/database.h"

namespace dki::memory_store {

class PostgresConversationRepository : public ConversationRepository {
 public:
  PostgresConversationRepository(Database* database, const Clock* clock)
      : database_(database), clock_(clock) {}

  absl::StatusOr<v1::CreateConversationResponse> CreateConversation(
      const Access& access, const v1::CreateConversationRequest& request) override;
  absl::StatusOr<v1::AppendMessagesResponse> AppendMessages(
      const Access& access, const v1::AppendMessagesRequest& request) override;
  absl::StatusOr<v1::ListMessagesResponse> ListMessages(
      const Access& access, const v1::ListMessagesRequest& request) override;
  absl::StatusOr<v1::DeleteConversationResponse> DeleteConversation(
      const Access& access, const v1::DeleteConversationRequest& request) override;

 private:
  Database* const database_;
  const Clock* const clock_;
};

}  // namespace dki::memory_store
