// SPDX-License-Identifier: Apache-2.0
// Purpose: an answer explained (P9): what was retrieved, what passed the gate, what was injected
// with which weight, and the share of
//   attention that each memory received.
#pragma once

#include "dki/orchestrator/v1/dki_service.pb.h"
#include "tools/dki/output.h"

namespace dki::cli {

void PrintExplanation(const Output& output, const orchestrator::v1::GetDecisionResponse& response);

// "injected", "prompt", "vanilla".
std::string ModeName(common::v1::Mode mode);
std::string TierName(common::v1::Tier tier);

}  // namespace dki::cli
