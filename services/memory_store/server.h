// SPDX-License-Identifier: Apache-2.0
// Purpose: the service's object graph, and its configuration's defaults.
#pragma once

#include <memory>

#include "dki/config/v1/memory_store.pb.h"
#include "libs/base/status.h"
#include "libs/rpc/run_service.h"

namespace dki::memory_store {

config::v1::MemoryStoreServer DefaultConfig();

// INVALID_ARGUMENT names the field. Does not need the database yet: the service is NOT_SERVING
// until it is reached and its schema is up to date.
absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildMemoryStoreServer(
    const config::v1::MemoryStoreServer& config, rpc::ServiceRuntime* runtime);

}  // namespace dki::memory_store
