// SPDX-License-Identifier: Apache-2.0
// Purpose: tenants and their API keys in PostgreSQL. A key's secret is "dki_<16 hex digits of its
// id>_<43 base64url characters>"; only a
//   salted SHA-256 of it is stored, and compared in constant time.
// Thread-safety: thread-safe.
#pragma once

#include <string>
#include <vector>

#include "dki/tenant/v1/tenant_service.pb.h"
#include "libs/base/clock.h"
#include "libs/rpc/identity.h"
#include "libs/rpc/service_runtime.h"
#include "services/memory_store/database.h"
#include "services/memory_store/feed_signal.h"

namespace dki::memory_store {

class TenantDirectory {
 public:
  using Deadline = Database::Deadline;

  // All must outlive it.
  TenantDirectory(Database* database, FeedSignal* signal, const Clock* clock)
      : database_(database), signal_(signal), clock_(clock) {}

  absl::StatusOr<tenant::v1::Tenant> Create(const std::string& id, Deadline deadline);
  absl::StatusOr<std::vector<tenant::v1::Tenant>> List(Deadline deadline);
  absl::Status Delete(const std::string& id, Deadline deadline);

  absl::StatusOr<tenant::v1::CreateKeyResponse> CreateKey(
      const std::string& tenant_id, const tenant::v1::CreateKeyRequest& request, Deadline deadline);
  absl::StatusOr<std::vector<tenant::v1::ApiKey>> ListKeys(const std::string& tenant_id,
                                                           Deadline deadline);
  absl::Status RevokeKey(const std::string& tenant_id, const std::string& key_id,
                         Deadline deadline);

  // UNAUTHENTICATED for a malformed, unknown or revoked secret; the message does not tell which.
  absl::StatusOr<rpc::Caller> Authenticate(const std::string& secret, Deadline deadline);
  // Authenticate, for libs/rpc.
  rpc::KeyVerifier MakeKeyVerifier();

 private:
  Database* const database_;
  FeedSignal* const signal_;
  const Clock* const clock_;
};

}  // namespace dki::memory_store
