// SPDX-License-Identifier: Apache-2.0
// Purpose: tenants and keys in PostgreSQL. Thread-safety: thread-safe.
#pragma once

#include "libs/base/clock.h"
#include "services/memory_store/database.h"
#include "services/memory_store/feed_signal.h"
#include "services/memory_store/tenant_repository.h"

namespace dki::memory_store {

class PostgresTenantRepository : public TenantRepository {
 public:
  PostgresTenantRepository(Database* database, FeedSignal* signal, const Clock* clock)
      : database_(database), signal_(signal), clock_(clock) {}

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
  Database* const database_;
  FeedSignal* const signal_;
  const Clock* const clock_;
};

}  // namespace dki::memory_store
