// SPDX-License-Identifier: Apache-2.0
// Purpose: tenants and their API keys. Implementations: PostgresTenantRepository,
//   InMemoryTenantRepository (the fake), under one conformance suite
//   (tenant_repository_conformance_test.cc).
//   REQUIRES: what is written has passed tenant_rules.h.
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "dki/tenant/v1/tenant_service.pb.h"
#include "libs/base/status.h"
#include "services/memory_store/key_secret.h"

namespace dki::memory_store {

struct StoredKey {
  tenant::v1::ApiKey key;
  HashedSecret secret;
};

class TenantRepository {
 public:
  using Deadline = std::chrono::system_clock::time_point;

  virtual ~TenantRepository() = default;

  // ALREADY_EXISTS when the id is taken. A tenant that was deleted may be made again, empty.
  virtual absl::StatusOr<tenant::v1::Tenant> CreateTenant(const std::string& id,
                                                          Deadline deadline) = 0;
  // By id.
  virtual absl::StatusOr<std::vector<tenant::v1::Tenant>> ListTenants(Deadline deadline) = 0;
  // Erases all that the tenant owns, its keys and audit log included, in one transaction, and tells
  // the feed. Returns the erasure's id. NOT_FOUND.
  virtual absl::StatusOr<std::string> DeleteTenant(const std::string& id, Deadline deadline) = 0;

  // NOT_FOUND when there is no such tenant.
  virtual absl::Status AddKey(const StoredKey& key, Deadline deadline) = 0;
  // Oldest first, revoked ones included.
  virtual absl::StatusOr<std::vector<tenant::v1::ApiKey>> ListKeys(const std::string& tenant_id,
                                                                   Deadline deadline) = 0;
  // NOT_FOUND unless the key is the tenant's. Revoking twice is fine.
  virtual absl::Status RevokeKey(const std::string& tenant_id, const std::string& key_id,
                                 Deadline deadline) = 0;
  // Of any tenant.
  virtual absl::StatusOr<std::optional<StoredKey>> FindKey(const std::string& key_id,
                                                           Deadline deadline) = 0;
};

}  // namespace dki::memory_store
