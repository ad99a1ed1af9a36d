// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki explain`, `dki audit ...`.
#pragma once

#include <string>

#include "tools/dki/context.h"

namespace dki::cli {

// `without`: what would have been answered without this memory (AskWithout); empty: not asked.
absl::Status Explain(Context& context, const std::string& decision_id, const std::string& without);
absl::Status ListDecisions(Context& context, int limit, const std::string& user);
// Fails with DATA_LOSS when the chain is broken.
absl::Status VerifyAudit(Context& context);

}  // namespace dki::cli
