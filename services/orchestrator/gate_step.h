// SPDX-License-Identifier: Apache-2.0
// Purpose: step 2 of the pipeline, pure: which of the candidates may be handed to the model.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "libs/injection/calibration.h"
#include "libs/injection/gate.h"
#include "services/orchestrator/candidates.h"

namespace dki::orchestrator {

// A decision of the gate, and why it left a memory out: by the calibration none holds the answer.
inline constexpr char kNoAnswer[] = "no_answer";

struct Gated {
  // "inject", "no_memory", "below_threshold", "no_answer" or "disabled".
  std::string decision;
  std::optional<double> probability;  // that the memories hold the answer, by a calibration
};

// Sets `passed`, and `reason` where it is false. Candidates that are not current are as if not
// retrieved. `calibration`: that of the heads whose shares the candidates have, or null where
// nothing was probed; then the cosine decides, memory by memory. With a calibration all pass or
// none: how much each one weighs is the next step's business. One whose gate needs no probe
// (AnswerModel::needs_probe) may be applied before.
Gated ApplyGate(const injection::GateOptions& options, const injection::Calibration* calibration,
                std::string_view message, std::span<Candidate* const> in_pack_order);

}  // namespace dki::orchestrator
