// SPDX-License-Identifier: Apache-2.0
// Purpose: the orchestrator's object graph, and its configuration's defaults.
#pragma once

#include <memory>

#include "dki/config/v1/orchestrator.pb.h"
#include "libs/rpc/run_service.h"

namespace dki::orchestrator {

config::v1::OrchestratorServer DefaultConfig();

// INVALID_ARGUMENT with the field's path; FAILED_PRECONDITION or DATA_LOSS where the audit spool
// cannot be used.
absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildOrchestratorServer(
    const config::v1::OrchestratorServer& config, rpc::ServiceRuntime* runtime);

}  // namespace dki::orchestrator
