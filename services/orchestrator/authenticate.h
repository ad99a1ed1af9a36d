// SPDX-License-Identifier: Apache-2.0
// Purpose: asks memory_store whom a bearer secret belongs to, with the cluster identity.
#pragma once

#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

// UNAUTHENTICATED for a bad key, UNAVAILABLE (or another transient error) when it cannot be known.
absl::StatusOr<rpc::Caller> AuthenticateSecret(const Upstreams& upstreams,
                                               const std::string& secret);

}  // namespace dki::orchestrator
