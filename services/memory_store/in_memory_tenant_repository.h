// SPDX-License-Identifier: Apache-2.0
// Purpose: the fake of tenants and keys, beside the other fakes. Thread-safety: thread-safe.
#pragma once

#include <map>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "services/memory_store/in_memory_audit_repository.h"
#include "services/memory_store/in_memory_store.h"
#include "services/memory_store/tenant_repository.h"

namespace dki::memory_store {

class InMemoryTenantRepository : public TenantRepository {
 public:
  // Erases in `memories` and `audit` what a deleted tenant had there; both must outlive it.
  InMemoryTenantRepository(InMemoryStore* memories, InMemoryAuditRepository* audit,
                           const Clock* clock)
      : memories_(memories), audit_(audit), clock_(clock) {}

  absl::StatusOr<tenant::v1::Tenant> CreateTenant(const std::string& id,
                                                  Deadline deadline) override;
  absl::StatusOr<std::vector<tenant::v1::Tenant>> ListTenants(Deadline deadline) override;
  absl::StatusOr<std::string> DeleteTenant(const std::string& id, Deadline deadline) override;
  absl::Status AddKey(const StoredKey& key, Deadline deadline) override;
  absl::StatusOr<std::vector<tenant::v1::ApiKey>> ListKeys(const std::string& tenant_id,
                                                           Deadline deadline) override;
  absl::Status RevokeKey(const std::string& tenant_id, const std::string& key_id,
                         Deadline deadline) override;
  absl::StatusOr<std::optional<StoredKey>> FindKey(const std::string& key_id,
                                                   Deadline deadline) override;

 private:
  InMemoryStore* const memories_;
  InMemoryAuditRepository* const audit_;
  const Clock* const clock_;
  Mutex mutex_;
  std::map<std::string, tenant::v1::Tenant> tenants_ ABSL_GUARDED_BY(mutex_);
  std::vector<StoredKey> keys_ ABSL_GUARDED_BY(mutex_);  // oldest first
};

}  // namespace dki::memory_store
