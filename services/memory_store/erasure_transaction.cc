// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/erasure_transaction.h"

#include <set>

#include "libs/base/ids.h"
#include "services/memory_store/data_keys.h"
#include "services/memory_store/erasure_statements.h"
#include "services/memory_store/memory_erasure.h"
#include "services/memory_store/memory_rules.h"

namespace dki::memory_store {
namespace {

using erasure::v1::ErasureStatement;
using erasure::v1::ErasureTarget;

using Ids = std::set<std::string>;

std::string ToTextArray(const Ids& ids) {
  google::protobuf::RepeatedPtrField<std::string> values;
  for (const std::string& id : ids) *values.Add() = id;
  return memory_store::ToTextArray(values);
}

Ids FirstColumn(const pqxx::result& rows) {
  Ids ids;
  for (const pqxx::row& row : rows) ids.insert(row[0].c_str());
  return ids;
}

Ids WithinScope(pqxx::work& work, const Statement& statement, const std::string& tenant_id,
                const common::v1::Scope& scope) {
  return FirstColumn(
      Exec(work, statement, tenant_id, scope.user_id(), scope.session_id(), scope.agent_id()));
}

void AddItems(const char* store, int64_t items, ErasureStatement* statement) {
  erasure::v1::ErasedItems* erased = statement->add_stores();
  erased->set_store(store);
  erased->set_items(items);
  *erased->mutable_unreachable_time() = statement->time();
}

ErasureStatement Begin(const std::string& tenant_id, const ErasureTarget& target, int64_t now_us) {
  ErasureStatement statement;
  statement.set_erasure_id(NewId("era_"));
  statement.set_tenant_id(tenant_id);
  *statement.mutable_target() = target;
  *statement.mutable_time() = FromMicros(now_us);
  return statement;
}

void Store(pqxx::work& work, const ErasureStatement& statement, int64_t after_position,
           bool drop_contexts) {
  Exec(work, kInsertErasure, statement.erasure_id(), statement.tenant_id(), after_position,
       statement.position(), drop_contexts, pqxx::binarystring(statement.SerializeAsString()),
       ToMicros(statement.time()));
  Exec(work, kExpectReports, statement.erasure_id());
}

// What an erasure takes with it.
struct Extent {
  Ids memories;
  Ids conversations;  // of the scope
  Ids attended;       // other conversations
  Ids decisions;      // whose texts go
};

Extent Find(pqxx::work& work, const std::string& tenant_id, const ErasureTarget& target) {
  Extent extent;
  Exec(work, kLockChainHead, tenant_id);
  if (target.has_scope()) {
    extent.memories = WithinScope(work, kScopeMemories, tenant_id, target.scope());
    extent.conversations = WithinScope(work, kScopeConversations, tenant_id, target.scope());
    extent.decisions = WithinScope(work, kScopeDecisions, tenant_id, target.scope());
    extent.decisions.merge(FirstColumn(
        Exec(work, kConversationDecisions, tenant_id, ToTextArray(extent.conversations))));
  } else {
    extent.memories.insert(target.memory_id());
  }
  for (const pqxx::row& row : Exec(work, kAttending, tenant_id, ToTextArray(extent.memories))) {
    if (target.with_conversations()) extent.decisions.insert(row[0].c_str());
    if (row[1].is_null() || extent.conversations.count(row[1].c_str()) > 0) continue;
    extent.attended.insert(row[1].c_str());
  }
  if (target.with_conversations()) {
    // Whatever was said later may repeat it.
    extent.decisions.merge(
        FirstColumn(Exec(work, kConversationDecisions, tenant_id, ToTextArray(extent.attended))));
  }
  return extent;
}

}  // namespace

ErasureResult Erase(pqxx::work& work, const std::string& tenant_id, const ErasureTarget& target,
                    int64_t now_us, LockedFeed* feed) {
  const Extent extent = Find(work, tenant_id, target);
  const std::string memories = ToTextArray(extent.memories);
  const auto affected = [](const pqxx::result& result) {
    return static_cast<int64_t>(result.affected_rows());
  };
  ErasureStatement statement = Begin(tenant_id, target, now_us);

  // First of all the keys under which the user's blocks are encrypted: of the user as a whole, not
  // of a session or agent. What is left of those blocks is noise from now on.
  const common::v1::Scope& scope = target.scope();
  const bool is_user =
      !scope.user_id().empty() && scope.session_id().empty() && scope.agent_id().empty();
  const int64_t n_data_keys = is_user ? DestroyUserDataKeys(work, tenant_id, scope.user_id()) : 0;

  const pqxx::row parts = Exec(work, kCountParts, tenant_id, memories)[0];
  const auto n_versions = parts[0].as<int64_t>();
  const auto n_vectors = parts[1].as<int64_t>();

  Ids emptied = extent.conversations;
  if (target.with_conversations()) emptied.insert(extent.attended.begin(), extent.attended.end());
  const std::string conversations = ToTextArray(emptied);
  // The conversations first, as where one is deleted: so that the two never wait for each other.
  Exec(work, kEmptyConversations, tenant_id, conversations);
  const int64_t n_messages = affected(Exec(work, kEraseMessages, tenant_id, conversations));
  const int64_t n_conversations =
      affected(Exec(work, kDeleteConversations, tenant_id, ToTextArray(extent.conversations)));

  const std::string decisions = ToTextArray(extent.decisions);
  const int64_t n_texts = affected(Exec(work, kEraseTextsOf, tenant_id, decisions));
  Exec(work, kMarkOpenOf, tenant_id, decisions);
  Exec(work, kMarkErased, tenant_id, decisions);
  Exec(work, kForgetAttended, tenant_id, memories);

  Ids subjects = extent.memories;
  subjects.insert(emptied.begin(), emptied.end());
  const int64_t n_requests = affected(Exec(work, kForgetHashes, tenant_id, ToTextArray(subjects)));

  const int64_t after_position = feed->position();
  const int64_t n_memories =
      affected(Exec(work, kDeleteIntoFeed, tenant_id, memories, after_position));
  feed->Advance(n_memories);
  statement.set_position(feed->position());

  AddItems("memories", n_memories, &statement);
  AddItems("versions", n_versions, &statement);
  AddItems("vectors", n_vectors, &statement);
  AddItems("conversations", n_conversations, &statement);
  AddItems("messages", n_messages, &statement);
  AddItems("audit_texts", n_texts, &statement);
  AddItems("requests", n_requests, &statement);
  if (is_user) AddItems("data_keys", n_data_keys, &statement);
  const bool drop_contexts = target.has_scope() || target.with_conversations();
  Store(work, statement, after_position, drop_contexts);
  return {.id = statement.erasure_id(),
          .memories = n_memories,
          .conversations = n_conversations,
          .data_keys = n_data_keys,
          .attended = {extent.attended.begin(), extent.attended.end()}};
}

std::string EraseTenant(pqxx::work& work, const std::string& tenant_id, int64_t now_us) {
  ErasureStatement statement = Begin(tenant_id, ErasureTarget(), now_us);
  const int64_t position = EraseTenantMemories(work, tenant_id, [&] {
    const pqxx::row counts = Exec(work, kCountTenant, tenant_id)[0];
    int column = 0;
    for (const char* store : {"memories", "versions", "vectors", "conversations", "messages",
                              "audit_texts", "requests", "data_keys"}) {
      AddItems(store, counts[column++].as<int64_t>(), &statement);
    }
  });
  statement.set_position(position);
  Store(work, statement, position - 1, /*drop_contexts=*/true);
  return statement.erasure_id();
}

}  // namespace dki::memory_store
