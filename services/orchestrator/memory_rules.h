// SPDX-License-Identifier: Apache-2.0
// Purpose: what a client's memory may be and what becomes of it. Pure functions.
#pragma once

#include <string_view>

#include "dki/memory/v1/memory_store_service.pb.h"
#include "dki/orchestrator/v1/dki_service.pb.h"
#include "libs/base/status.h"
#include "libs/rpc/identity.h"

namespace dki::orchestrator {

// Checks text, scope, tags, metadata's size and priority: all before anything is embedded.
// INVALID_ARGUMENT with the field's path (`field` and a dot in front) and its limits;
// PERMISSION_DENIED for a memory of the whole tenant without an admin key.
absl::Status CheckNewMemory(std::string_view field, const v1::MemoryInput& input,
                            const rpc::Caller& caller);
absl::Status CheckMemoryText(std::string_view field, std::string_view text);

// As the store takes it, without its vector. Source class: operator for a memory of the whole
// tenant (an admin wrote it), user for all others.
memory::v1::NewMemory ToNewMemory(const v1::MemoryInput& input);

}  // namespace dki::orchestrator
