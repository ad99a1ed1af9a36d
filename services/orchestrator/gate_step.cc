// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/gate_step.h"

#include <vector>

#include "libs/base/check.h"

namespace dki::orchestrator {

std::string ApplyGate(const injection::GateOptions& options, std::span<Candidate> candidates) {
  std::vector<Candidate*> current;
  std::vector<double> cosines;
  for (Candidate& candidate : candidates) {
    candidate.passed = false;
    if (candidate.reason == kNotCurrent) continue;
    current.push_back(&candidate);
    cosines.push_back(candidate.cosine);
  }
  const injection::GateDecision decision = injection::DecideGate(options, cosines);
  DKI_CHECK(decision.passed.size() == current.size());
  for (size_t i = 0; i < current.size(); ++i) {
    current[i]->passed = decision.passed[i];
    current[i]->reason = decision.passed[i] ? "" : "below_threshold";
  }
  return decision.reason;
}

}  // namespace dki::orchestrator
