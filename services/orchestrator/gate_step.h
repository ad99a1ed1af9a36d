// SPDX-License-Identifier: Apache-2.0
// Purpose: step 2 of the pipeline, pure: which of the candidates may be handed to the model.
#pragma once

#include <span>
#include <string>

#include "libs/injection/gate.h"
#include "services/orchestrator/candidates.h"

namespace dki::orchestrator {

// Sets `passed`, and `reason` where it is false. Returns what was decided: "inject", "no_memory",
// "below_threshold" or "disabled". Candidates that are not current are as if not retrieved.
std::string ApplyGate(const injection::GateOptions& options, std::span<Candidate> candidates);

}  // namespace dki::orchestrator
