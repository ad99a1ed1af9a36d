// SPDX-License-Identifier: Apache-2.0
// Purpose: what a caller asks a pack of, checked.
#pragma once

#include <string>
#include <vector>

#include "dki/kv/v1/kv_service.pb.h"
#include "libs/base/status.h"
#include "libs/injection/pack_plan.h"

namespace dki::kv {

struct PackRequest {
  std::string tenant_id;
  std::string context_system_prompt;  // empty: the model's own
  std::vector<injection::PackMemoryText> memories;
  injection::Composition composition = {};
};

// INVALID_ARGUMENT names the field and its limit.
absl::StatusOr<PackRequest> ReadPackSpec(const std::string& tenant_id, const v1::PackSpec& spec);

}  // namespace dki::kv
