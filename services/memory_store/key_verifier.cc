// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/key_verifier.h"

#include "services/memory_store/tenant_rules.h"

namespace dki::memory_store {
namespace {

constexpr std::chrono::seconds kTimeout{5};

}  // namespace

absl::StatusOr<rpc::Caller> AuthenticateSecret(TenantRepository* tenants, const std::string& secret,
                                               TenantRepository::Deadline deadline) {
  const absl::Status refused = Unauthenticated("the API key is not valid");
  const std::string key_id = ClaimedKeyId(secret);
  if (key_id.empty()) return refused;
  DKI_ASSIGN_OR_RETURN(const std::optional<StoredKey> stored, tenants->FindKey(key_id, deadline));
  if (!stored.has_value() || !Matches(stored->secret, secret) || stored->key.revoked()) {
    return refused;
  }
  return rpc::Caller{.tenant_id = stored->key.tenant_id(),
                     .key_id = key_id,
                     .permissions = Permissions(stored->key),
                     .is_cluster = false};
}

rpc::KeyVerifier MakeKeyVerifier(TenantRepository* tenants) {
  return [tenants](const std::string& secret) {
    return AuthenticateSecret(tenants, secret, std::chrono::system_clock::now() + kTimeout);
  };
}

}  // namespace dki::memory_store
