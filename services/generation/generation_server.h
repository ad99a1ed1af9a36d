// SPDX-License-Identifier: Apache-2.0
// The service's object graph.
#pragma once

#include <memory>

#include "dki/config/v1/generation.pb.h"
#include "libs/rpc/run_service.h"

namespace dki::generation {

absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildGenerationServer(
    const config::v1::GenerationServer& config, rpc::ServiceRuntime* runtime);

}  // namespace dki::generation
