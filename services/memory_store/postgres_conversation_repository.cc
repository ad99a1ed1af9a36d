// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/postgres_conversation_repository.h"

#include "libs/base/ids.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/postgres_rows.h"
#include "services/memory_store/validate.h"

namespace dki::memory_store {
namespace {

constexpr Statement kCreate{"create_conversation",
                            "INSERT INTO conversations (tenant_id, id, user_id, session_id, "
                            "agent_id, create_us) VALUES ($1, "
                            "$2, $3, $4, $5, $6)"};
constexpr Statement kFind{"find_conversation",
                          "SELECT n_messages FROM conversations c WHERE tenant_id = $1 AND id = $2 "
                          "AND " DKI_VISIBLE("c", "$3", "$4", "$5", "$6")};
// Locks: appends to one conversation follow each other.
constexpr Statement kFindToAppend{
    "find_conversation_to_append",
    "SELECT n_messages FROM conversations c WHERE tenant_id = $1 AND id = $2 AND " DKI_VISIBLE(
        "c", "$3", "$4", "$5", "$6") " FOR UPDATE"};
constexpr Statement kAppend{
    "append_message",
    "INSERT INTO messages (tenant_id, conversation_id, sequence, role, content, create_us) VALUES "
    "($1, $2, $3, $4, $5, $6)"};
constexpr Statement kIsErased{
    "is_decision_erased",
    "SELECT 1 FROM audit_decisions WHERE tenant_id = $1 AND decision_id = $2 AND texts_erased"};
constexpr Statement kSetCount{
    "set_message_count",
    "UPDATE conversations SET n_messages = $3 WHERE tenant_id = $1 AND id = $2"};
constexpr Statement kList{
    "list_messages",
    "SELECT role, content FROM (SELECT sequence, role, content FROM messages WHERE tenant_id = $1 "
    "AND "
    "conversation_id = $2 ORDER BY sequence DESC LIMIT $3) newest ORDER BY sequence"};
constexpr Statement kDelete{
    "delete_conversation",
    "DELETE FROM conversations c WHERE tenant_id = $1 AND id = $2 AND " DKI_VISIBLE("c", "$3", "$4",
                                                                                    "$5", "$6")};

template <typename Request>
pqxx::result ExecForViewer(pqxx::work& work, const Statement& statement,
                           const std::string& tenant_id, const Request& request) {
  return Exec(work, statement, tenant_id, request.conversation_id(), request.has_viewer(),
              request.viewer().user_id(), request.viewer().session_id(),
              request.viewer().agent_id());
}

}  // namespace

absl::StatusOr<v1::CreateConversationResponse> PostgresConversationRepository::CreateConversation(
    const Access& access, const v1::CreateConversationRequest& request) {
  const int64_t now_us = absl::ToUnixMicros(clock_->Now());
  v1::CreateConversationResponse response;
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    DKI_RETURN_IF_ERROR(HoldTenant(work, access.tenant_id));
    return OncePerRequest(work, access.tenant_id, request.request_id(), request, now_us, &response,
                          [&] {
                            response.set_conversation_id(NewId("conv_"));
                            Exec(work, kCreate, access.tenant_id, response.conversation_id(),
                                 request.scope().user_id(), request.scope().session_id(),
                                 request.scope().agent_id(), now_us);
                            return absl::OkStatus();
                          });
  }));
  return response;
}

absl::StatusOr<v1::AppendMessagesResponse> PostgresConversationRepository::AppendMessages(
    const Access& access, const v1::AppendMessagesRequest& request) {
  const int64_t now_us = absl::ToUnixMicros(clock_->Now());
  v1::AppendMessagesResponse response;
  Subjects subjects;
  *subjects.Add() = request.conversation_id();
  const auto append = [&](pqxx::work& work) -> absl::Status {
    const pqxx::result found = ExecForViewer(work, kFindToAppend, access.tenant_id, request);
    // (Under the tenant's lock, so an erasure comes either before or after.)
    if (found.empty()) return ConversationNotFound(request.conversation_id());
    int64_t n_messages = found[0][0].as<int64_t>();
    response.set_n_messages(n_messages);
    if (!Exec(work, kIsErased, access.tenant_id, request.decision_id()).empty()) {
      return absl::OkStatus();
    }
    for (const common::v1::Message& message : request.messages()) {
      Exec(work, kAppend, access.tenant_id, request.conversation_id(), ++n_messages, message.role(),
           message.content(), now_us);
    }
    Exec(work, kSetCount, access.tenant_id, request.conversation_id(), n_messages);
    response.set_n_messages(n_messages);
    return absl::OkStatus();
  };
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    DKI_RETURN_IF_ERROR(HoldTenant(work, access.tenant_id));
    return OncePerRequest(
        work, access.tenant_id, request.request_id(), request, now_us, &response,
        [&] { return append(work); }, &subjects);
  }));
  return response;
}

absl::StatusOr<v1::ListMessagesResponse> PostgresConversationRepository::ListMessages(
    const Access& access, const v1::ListMessagesRequest& request) {
  const int limit = request.limit() == 0 ? kDefaultListedMessages : request.limit();
  v1::ListMessagesResponse response;
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    if (ExecForViewer(work, kFind, access.tenant_id, request).empty()) {
      return ConversationNotFound(request.conversation_id());
    }
    for (const pqxx::row& row :
         Exec(work, kList, access.tenant_id, request.conversation_id(), limit)) {
      common::v1::Message* message = response.add_messages();
      message->set_role(row[0].c_str());
      message->set_content(row[1].as<std::string>());
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::DeleteConversationResponse> PostgresConversationRepository::DeleteConversation(
    const Access& access, const v1::DeleteConversationRequest& request) {
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    if (ExecForViewer(work, kDelete, access.tenant_id, request).affected_rows() == 0) {
      return ConversationNotFound(request.conversation_id());
    }
    return absl::OkStatus();
  }));
  return v1::DeleteConversationResponse();
}

}  // namespace dki::memory_store
