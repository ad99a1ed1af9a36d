// SPDX-License-Identifier: Apache-2.0
// Purpose: between retrieval and gate: how the message attends to the candidates (design section
// 6). Asks generation, which leaves prefix, history and memories at hand for the answer.
#pragma once

#include <span>
#include <string>

#include "libs/injection/calibration.h"
#include "services/orchestrator/candidates.h"
#include "services/orchestrator/chat_task.h"
#include "services/orchestrator/pipeline_config.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

// The pack of `prompt`, if it has one, as the calibration's heads are used to it.
void ComposeForProbe(const injection::Calibration& calibration, generation::v1::Prompt* prompt);

// Sets `head_shares` and `probe_share` of all candidates, or of none on error. UNAVAILABLE also
// when generation could not get their K/V, or not all of them fit.
absl::Status ProbeCandidates(const Upstreams& upstreams, const rpc::Call& call,
                             const PipelineConfig& config, const ChatTask& task,
                             const std::string& model_system_prompt,
                             const injection::Calibration& calibration,
                             std::span<Candidate* const> in_pack_order);

}  // namespace dki::orchestrator
