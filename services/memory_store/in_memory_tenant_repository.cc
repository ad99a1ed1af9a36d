// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/in_memory_tenant_repository.h"

#include "libs/base/ids.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/tenant_rules.h"

namespace dki::memory_store {

absl::StatusOr<tenant::v1::Tenant> InMemoryTenantRepository::CreateTenant(const std::string& id,
                                                                          Deadline) {
  MutexLock lock(&mutex_);
  const auto [entry, is_new] = tenants_.try_emplace(id);
  if (!is_new) return TenantExists(id);
  entry->second.set_id(id);
  *entry->second.mutable_create_time() = FromMicros(absl::ToUnixMicros(clock_->Now()));
  memories_->OpenTenant(id);
  audit_->OpenTenant(id);
  return entry->second;
}

absl::StatusOr<std::vector<tenant::v1::Tenant>> InMemoryTenantRepository::ListTenants(Deadline) {
  MutexLock lock(&mutex_);
  std::vector<tenant::v1::Tenant> tenants;
  for (const auto& [id, tenant] : tenants_) tenants.push_back(tenant);
  return tenants;
}

absl::StatusOr<std::string> InMemoryTenantRepository::DeleteTenant(const std::string& id,
                                                                   Deadline) {
  MutexLock lock(&mutex_);
  if (tenants_.erase(id) == 0) return NoSuchTenant(id);
  std::erase_if(keys_, [&](const StoredKey& key) { return key.key.tenant_id() == id; });
  memories_->EraseTenant(id);
  audit_->EraseTenant(id);
  return NewId("era_");
}

absl::Status InMemoryTenantRepository::AddKey(const StoredKey& key, Deadline) {
  MutexLock lock(&mutex_);
  if (tenants_.count(key.key.tenant_id()) == 0) return NoSuchTenant(key.key.tenant_id());
  keys_.push_back(key);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<tenant::v1::ApiKey>> InMemoryTenantRepository::ListKeys(
    const std::string& tenant_id, Deadline) {
  MutexLock lock(&mutex_);
  std::vector<tenant::v1::ApiKey> keys;
  for (const StoredKey& key : keys_) {
    if (key.key.tenant_id() == tenant_id) keys.push_back(key.key);
  }
  return keys;
}

absl::Status InMemoryTenantRepository::RevokeKey(const std::string& tenant_id,
                                                 const std::string& key_id, Deadline) {
  MutexLock lock(&mutex_);
  for (StoredKey& key : keys_) {
    if (key.key.tenant_id() != tenant_id || key.key.id() != key_id) continue;
    key.key.set_revoked(true);
    return absl::OkStatus();
  }
  return KeyNotFound(key_id);
}

absl::StatusOr<std::optional<StoredKey>> InMemoryTenantRepository::FindKey(
    const std::string& key_id, Deadline) {
  MutexLock lock(&mutex_);
  for (const StoredKey& key : keys_) {
    if (key.key.id() == key_id) return std::optional<StoredKey>(key);
  }
  return std::optional<StoredKey>();
}

}  // namespace dki::memory_store
