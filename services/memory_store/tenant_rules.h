// SPDX-License-Identifier: Apache-2.0
// Purpose: what tenants and keys may be called, and their errors. Pure.
#pragma once

#include <set>
#include <string>

#include "dki/tenant/v1/tenant_service.pb.h"
#include "libs/base/status.h"
#include "libs/rpc/identity.h"

namespace dki::memory_store {

// 1 to 64 of [a-z0-9_-].
absl::Status ValidateTenantId(const std::string& id);
absl::Status ValidateKeyId(const std::string& id);
absl::Status Validate(const tenant::v1::CreateKeyRequest& request);

// What a key's scopes permit. One that this version does not know permits nothing.
std::set<rpc::Permission> Permissions(const tenant::v1::ApiKey& key);

absl::Status NoSuchTenant(const std::string& id);
absl::Status TenantExists(const std::string& id);
absl::Status KeyNotFound(const std::string& id);

}  // namespace dki::memory_store
