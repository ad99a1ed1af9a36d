// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/postgres_rows.h"

#include <google/protobuf/util/json_util.h>

#include "libs/base/check.h"
#include "services/memory_store/memory_rules.h"

namespace dki::memory_store {
namespace {

constexpr Statement kLockHead{
    "lock_head", "SELECT position, erased FROM feed_heads WHERE tenant_id = $1 FOR UPDATE"};
constexpr Statement kHoldHead{"hold_head",
                              "SELECT erased FROM feed_heads WHERE tenant_id = $1 FOR SHARE"};
constexpr Statement kMakeHead{
    "make_head", "INSERT INTO feed_heads (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING"};
constexpr Statement kStoreHead{"store_head",
                               "UPDATE feed_heads SET position = $2 WHERE tenant_id = $1"};
constexpr Statement kAppendFeed{
    "append_feed",
    "INSERT INTO feed (tenant_id, position, kind, memory_id) VALUES ($1, $2, $3, $4)"};
constexpr Statement kClaimRequest{
    "claim_request",
    "INSERT INTO requests (tenant_id, request_id, hash, create_us) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT DO NOTHING"};
constexpr Statement kReadRequest{
    "read_request", "SELECT hash, response FROM requests WHERE tenant_id = $1 AND request_id = $2"};
constexpr Statement kStoreResponse{
    "store_response",
    "UPDATE requests SET response = $3, subjects = NULLIF($4::text[], '{}') "
    "WHERE tenant_id = $1 AND request_id = $2"};

// The tenant's row of `statement`, made where missing.
pqxx::row HeadRow(pqxx::work& work, const Statement& statement, const std::string& tenant_id) {
  const pqxx::result found = Exec(work, statement, tenant_id);
  if (!found.empty()) return found[0];
  Exec(work, kMakeHead, tenant_id);
  return Exec(work, statement, tenant_id)[0];
}

}  // namespace

v1::Memory ReadMemory(const pqxx::row& row) {
  v1::Memory memory;
  memory.set_id(row[0].c_str());
  *memory.mutable_scope() = ReadScope(row, 1);
  memory.set_text(row[4].as<std::string>());
  memory.set_content_hash(row[5].c_str());
  for (const std::string& tag : ReadTextArray(row[6])) memory.add_tags(tag);
  if (row[7].size() > 0) {
    DKI_CHECK(google::protobuf::util::JsonStringToMessage(row[7].as<std::string>(),
                                                          memory.mutable_metadata())
                  .ok());
  }
  memory.set_source_class(static_cast<common::v1::SourceClass>(row[8].as<int>()));
  memory.set_pinned(row[9].as<bool>());
  memory.set_priority(row[10].as<int>());
  if (!row[11].is_null()) *memory.mutable_expire_time() = FromMicros(row[11].as<int64_t>());
  memory.set_version(row[12].as<int64_t>());
  *memory.mutable_create_time() = FromMicros(row[13].as<int64_t>());
  *memory.mutable_update_time() = FromMicros(row[14].as<int64_t>());
  memory.set_feed_position(row[15].as<int64_t>());
  memory.set_create_position(row[16].as<int64_t>());
  return memory;
}

common::v1::Scope ReadScope(const pqxx::row& row, int first_column) {
  common::v1::Scope scope;
  scope.set_user_id(row[first_column].c_str());
  scope.set_session_id(row[first_column + 1].c_str());
  scope.set_agent_id(row[first_column + 2].c_str());
  return scope;
}

std::vector<std::string> ReadTextArray(const pqxx::field& field) {
  std::vector<std::string> values;
  pqxx::array_parser parser = field.as_array();
  for (auto item = parser.get_next(); item.first != pqxx::array_parser::juncture::done;
       item = parser.get_next()) {
    if (item.first == pqxx::array_parser::juncture::string_value) values.push_back(item.second);
  }
  return values;
}

std::string ToTextArray(const google::protobuf::RepeatedPtrField<std::string>& values) {
  std::string array = "{";
  for (const std::string& value : values) {
    if (array.size() > 1) array += ',';
    array += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array + "}";
}

std::string MetadataJson(const v1::Memory& memory) {
  std::string json;
  if (memory.has_metadata()) {
    DKI_CHECK(google::protobuf::util::MessageToJsonString(memory.metadata(), &json).ok());
  }
  return json;
}

absl::StatusOr<LockedFeed> LockedFeed::Lock(pqxx::work& work, const std::string& tenant_id) {
  const pqxx::row head = HeadRow(work, kLockHead, tenant_id);
  if (head[1].as<bool>()) return TenantNotFound(tenant_id);
  return LockedFeed(tenant_id, head[0].as<int64_t>());
}

int64_t LockedFeed::Append(pqxx::work& work, v1::FeedEntry::Kind kind,
                           const std::string& memory_id) {
  Exec(work, kAppendFeed, tenant_id_, Next(), static_cast<int>(kind), memory_id);
  return position_;
}

void LockedFeed::Store(pqxx::work& work) const {
  Exec(work, kStoreHead, tenant_id_, position_);
}

absl::Status HoldTenant(pqxx::work& work, const std::string& tenant_id) {
  if (HeadRow(work, kHoldHead, tenant_id)[0].as<bool>()) return TenantNotFound(tenant_id);
  return absl::OkStatus();
}

absl::Status OncePerRequest(pqxx::work& work, const std::string& tenant_id,
                            const std::string& request_id, const google::protobuf::Message& request,
                            int64_t now_us, google::protobuf::MessageLite* response,
                            const std::function<absl::Status()>& body, const Subjects* subjects) {
  const std::string hash = RequestHash(request);
  if (Exec(work, kClaimRequest, tenant_id, request_id, hash, now_us).affected_rows() == 0) {
    const pqxx::row done = Exec(work, kReadRequest, tenant_id, request_id)[0];
    const bool is_erased = done[0].size() == 0;
    if (!is_erased && done[0].c_str() != hash) return RequestIdReused(request_id);
    // (A request for one memory alone has no stored response, and no request here has its hash.)
    if (done[1].is_null() && is_erased) return RequestIdReused(request_id);
    if (done[1].is_null() || !response->ParseFromString(pqxx::binarystring(done[1]).str())) {
      return DataLoss("request %s: its stored response cannot be read", request_id);
    }
    return absl::OkStatus();
  }
  DKI_RETURN_IF_ERROR(body());
  Exec(work, kStoreResponse, tenant_id, request_id,
       pqxx::binarystring(response->SerializeAsString()),
       subjects == nullptr ? std::string("{}") : ToTextArray(*subjects));
  return absl::OkStatus();
}

}  // namespace dki::memory_store
