// SPDX-License-Identifier: Apache-2.0
// Purpose: the service from its configuration: the only code that reads the config message.
#pragma once

#include <memory>

#include "dki/config/v1/retrieval.pb.h"
#include "libs/rpc/run_service.h"

namespace dki::retrieval {

config::v1::RetrievalServer DefaultConfig();

// INVALID_ARGUMENT names the field; errors of the model's files as they are.
absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildRetrievalServer(
    const config::v1::RetrievalServer& config, rpc::ServiceRuntime* runtime);

}  // namespace dki::retrieval
