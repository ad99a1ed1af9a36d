// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki tenant ...`, `dki key ...`: the operator's commands. They use the cluster's own
// identity, so they work on the machine
//   that can read the data folder's cluster key, and nowhere else.
#pragma once

#include <string>
#include <vector>

#include "tools/dki/context.h"

namespace dki::cli {

absl::Status AddTenant(Context& context, const std::string& id);
absl::Status ListTenants(Context& context);
absl::Status RemoveTenant(Context& context, const std::string& id);

absl::Status AddKey(Context& context, const std::string& tenant,
                    const std::vector<std::string>& scopes, const std::string& note);
absl::Status ListKeys(Context& context, const std::string& tenant);
absl::Status RevokeKey(Context& context, const std::string& tenant, const std::string& id);

}  // namespace dki::cli
