// SPDX-License-Identifier: Apache-2.0
// Purpose: between rows and messages, and the statements that every PostgreSQL repository needs.
//   pqxx's exceptions pass through; Database::Transact converts them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "dki/memory/v1/memory_store_service.pb.h"
#include "libs/base/status.h"
#include "services/memory_store/database.h"
#include "services/memory_store/memory_repository.h"

namespace dki::memory_store {

// Columns of a memory, in the order that ReadMemory expects, from column 0 on.
#define DKI_MEMORY_COLUMNS                                                      \
  "m.id, m.user_id, m.session_id, m.agent_id, m.text, m.content_hash, m.tags, " \
  "m.metadata, m.source_class, m.pinned, m.priority, m.expire_us, m.version, "  \
  "m.create_us, m.update_us, m.feed_position, m.create_position"

// True where the row `a` is visible to the viewer in parameters p, p+1, p+2, p+3: a boolean (is
// there a viewer?), user, session, agent. The rule of IsVisible in SQL.
#define DKI_VISIBLE(a, p0, p1, p2, p3)                                              \
  "(NOT " p0 "::boolean OR ((" a ".user_id = '' OR " a ".user_id = " p1 ") AND (" a \
  ".session_id = '' OR " a ".session_id = " p2 ") AND (" a ".agent_id = '' OR " a   \
  ".agent_id = " p3 ")))"

v1::Memory ReadMemory(const pqxx::row& row);
common::v1::Scope ReadScope(const pqxx::row& row, int first_column);
std::vector<std::string> ReadTextArray(const pqxx::field& field);
// '{"a","b"}': a text[] parameter.
std::string ToTextArray(const google::protobuf::RepeatedPtrField<std::string>& values);
// '' where there is none.
std::string MetadataJson(const v1::Memory& memory);

// The tenant's feed while this transaction holds its lock: nobody else writes the tenant's memories
// until the commit, so what has been read stays true.
class LockedFeed {
 public:
  // Waits for the lock. NOT_FOUND when the tenant has been erased.
  static absl::StatusOr<LockedFeed> Lock(pqxx::work& work, const std::string& tenant_id);

  int64_t position() const { return position_; }
  // Appends a change; returns its position.
  int64_t Append(pqxx::work& work, v1::FeedEntry::Kind kind, const std::string& memory_id);
  // For a change appended by the caller's own statement.
  int64_t Next() { return ++position_; }
  void Advance(int64_t by) { position_ += by; }
  // Must be called last.
  void Store(pqxx::work& work) const;

 private:
  LockedFeed(std::string tenant_id, int64_t position)
      : tenant_id_(std::move(tenant_id)), position_(position) {}

  std::string tenant_id_;
  int64_t position_;
};

// NOT_FOUND when the tenant has been erased; keeps it from being erased until the commit.
absl::Status HoldTenant(pqxx::work& work, const std::string& tenant_id);

// Runs `body`, which fills `response`, unless a request of this id has been done: then `response`
// is what that one stored. INVALID_ARGUMENT when it asked something else. Two requests of the same
// id at the same time: the second one waits for the first. `response` must not hold texts.
// `subjects`, filled by `body`: memories or a conversation, with whose erasure the hash of the
// request, which is of their texts, goes.
using Subjects = google::protobuf::RepeatedPtrField<std::string>;
absl::Status OncePerRequest(pqxx::work& work, const std::string& tenant_id,
                            const std::string& request_id, const google::protobuf::Message& request,
                            int64_t now_us, google::protobuf::MessageLite* response,
                            const std::function<absl::Status()>& body,
                            const Subjects* subjects = nullptr);

}  // namespace dki::memory_store
