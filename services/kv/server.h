// SPDX-License-Identifier: Apache-2.0
// Purpose: the service's object graph.
#pragma once

#include <memory>

#include "libs/rpc/run_service.h"
#include "services/kv/config.h"

namespace dki::kv {

// INVALID_ARGUMENT names the field. The model is loaded by Start; NOT_SERVING until then.
absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildKvServer(
    const config::v1::KvServer& config, rpc::ServiceRuntime* runtime);

}  // namespace dki::kv
