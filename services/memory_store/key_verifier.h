// SPDX-License-Identifier: Apache-2.0
// Purpose: who a bearer secret belongs to. UNAUTHENTICATED for a malformed, unknown or revoked one;
//   the message does not tell which.
#pragma once

#include <string>

#include "libs/rpc/service_runtime.h"
#include "services/memory_store/tenant_repository.h"

namespace dki::memory_store {

absl::StatusOr<rpc::Caller> AuthenticateSecret(TenantRepository* tenants, const std::string& secret,
                                               TenantRepository::Deadline deadline);

// The same for libs/rpc, within 5 seconds. `tenants` must outlive it.
rpc::KeyVerifier MakeKeyVerifier(TenantRepository* tenants);

}  // namespace dki::memory_store
