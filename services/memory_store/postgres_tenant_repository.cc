// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/postgres_tenant_repository.h"

#include <algorithm>

#include "services/memory_store/erasure_transaction.h"
#include "services/memory_store/memory_erasure.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/postgres_audit_repository.h"
#include "services/memory_store/tenant_rules.h"

namespace dki::memory_store {
namespace {

constexpr Statement kInsertTenant{
    "insert_tenant", "INSERT INTO tenants (id, create_us) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
constexpr Statement kListTenants{"list_tenants", "SELECT id, create_us FROM tenants ORDER BY id"};
constexpr Statement kDeleteTenant{"delete_tenant", "DELETE FROM tenants WHERE id = $1"};
constexpr Statement kHoldTenantRow{"hold_tenant_row",
                                   "SELECT 1 FROM tenants WHERE id = $1 FOR KEY SHARE"};
constexpr Statement kInsertKey{
    "insert_key",
    "INSERT INTO api_keys (id, tenant_id, salt, secret_hash, scopes, note, create_us) VALUES ($1, "
    "$2, $3, $4, $5, $6, $7)"};
constexpr Statement kListKeys{
    "list_keys",
    "SELECT id, tenant_id, scopes, note, create_us, revoked FROM api_keys WHERE tenant_id = $1 "
    "ORDER BY create_us, id"};
constexpr Statement kFindKey{
    "find_key",
    "SELECT id, tenant_id, scopes, note, create_us, revoked, salt, secret_hash FROM api_keys WHERE "
    "id = $1"};
constexpr Statement kRevokeKey{
    "revoke_key", "UPDATE api_keys SET revoked = true WHERE tenant_id = $1 AND id = $2"};

std::string Join(const google::protobuf::RepeatedPtrField<std::string>& scopes) {
  std::string joined;
  for (const std::string& scope : scopes) joined += (joined.empty() ? "" : " ") + scope;
  return joined;
}

// Columns: id, tenant_id, scopes, note, create_us, revoked.
tenant::v1::ApiKey ReadKey(const pqxx::row& row) {
  tenant::v1::ApiKey key;
  key.set_id(row[0].c_str());
  key.set_tenant_id(row[1].c_str());
  const auto scopes = row[2].as<std::string>();
  for (size_t begin = 0; begin < scopes.size();) {
    const size_t end = std::min(scopes.find(' ', begin), scopes.size());
    key.add_scopes(scopes.substr(begin, end - begin));
    begin = end + 1;
  }
  key.set_note(row[3].as<std::string>());
  *key.mutable_create_time() = FromMicros(row[4].as<int64_t>());
  key.set_revoked(row[5].as<bool>());
  return key;
}

}  // namespace

absl::StatusOr<tenant::v1::Tenant> PostgresTenantRepository::CreateTenant(const std::string& id,
                                                                          Deadline deadline) {
  const int64_t now_us = absl::ToUnixMicros(clock_->Now());
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    if (Exec(work, kInsertTenant, id, now_us).affected_rows() == 0) return TenantExists(id);
    OpenTenantMemories(work, id);
    OpenTenantAudit(work, id);
    return absl::OkStatus();
  }));
  tenant::v1::Tenant tenant;
  tenant.set_id(id);
  *tenant.mutable_create_time() = FromMicros(now_us);
  return tenant;
}

absl::StatusOr<std::vector<tenant::v1::Tenant>> PostgresTenantRepository::ListTenants(
    Deadline deadline) {
  std::vector<tenant::v1::Tenant> tenants;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    tenants.clear();
    for (const pqxx::row& row : Exec(work, kListTenants)) {
      tenant::v1::Tenant& tenant = tenants.emplace_back();
      tenant.set_id(row[0].c_str());
      *tenant.mutable_create_time() = FromMicros(row[1].as<int64_t>());
    }
    return absl::OkStatus();
  }));
  return tenants;
}

absl::StatusOr<std::string> PostgresTenantRepository::DeleteTenant(const std::string& id,
                                                                   Deadline deadline) {
  const int64_t now_us = absl::ToUnixMicros(clock_->Now());
  std::string erasure_id;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    if (Exec(work, kDeleteTenant, id).affected_rows() == 0) return NoSuchTenant(id);
    erasure_id = EraseTenant(work, id, now_us);
    EraseTenantAudit(work, id);
    return absl::OkStatus();
  }));
  signal_->Notify();
  return erasure_id;
}

absl::Status PostgresTenantRepository::AddKey(const StoredKey& key, Deadline deadline) {
  return database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    const std::string& tenant_id = key.key.tenant_id();
    if (Exec(work, kHoldTenantRow, tenant_id).empty()) return NoSuchTenant(tenant_id);
    Exec(work, kInsertKey, key.key.id(), tenant_id, pqxx::binarystring(key.secret.salt),
         pqxx::binarystring(key.secret.hash), Join(key.key.scopes()), key.key.note(),
         ToMicros(key.key.create_time()));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<tenant::v1::ApiKey>> PostgresTenantRepository::ListKeys(
    const std::string& tenant_id, Deadline deadline) {
  std::vector<tenant::v1::ApiKey> keys;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    keys.clear();
    for (const pqxx::row& row : Exec(work, kListKeys, tenant_id)) keys.push_back(ReadKey(row));
    return absl::OkStatus();
  }));
  return keys;
}

absl::Status PostgresTenantRepository::RevokeKey(const std::string& tenant_id,
                                                 const std::string& key_id, Deadline deadline) {
  return database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    if (Exec(work, kRevokeKey, tenant_id, key_id).affected_rows() == 0) return KeyNotFound(key_id);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<StoredKey>> PostgresTenantRepository::FindKey(
    const std::string& key_id, Deadline deadline) {
  std::optional<StoredKey> stored;
  DKI_RETURN_IF_ERROR(database_->Read(deadline, [&](pqxx::transaction_base& work) {
    stored.reset();
    const pqxx::result found = Exec(work, kFindKey, key_id);
    if (found.empty()) return absl::OkStatus();
    stored = StoredKey{.key = ReadKey(found[0]),
                       .secret = {.salt = pqxx::binarystring(found[0][6]).str(),
                                  .hash = pqxx::binarystring(found[0][7]).str()}};
    return absl::OkStatus();
  }));
  return stored;
}

}  // namespace dki::memory_store
