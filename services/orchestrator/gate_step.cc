// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/gate_step.h"

#include <vector>

#include "libs/base/check.h"

namespace dki::orchestrator {
namespace {

Gated ApplyCosine(const injection::GateOptions& options, std::span<Candidate* const> candidates) {
  std::vector<double> cosines;
  for (const Candidate* candidate : candidates) cosines.push_back(candidate->cosine);
  const injection::GateDecision decision = injection::DecideGate(options, cosines);
  DKI_CHECK(decision.passed.size() == candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    candidates[i]->passed = decision.passed[i];
    candidates[i]->reason = decision.passed[i] ? "" : "below_threshold";
  }
  return {decision.reason, std::nullopt};
}

}  // namespace

Gated ApplyGate(const injection::GateOptions& options, const injection::Calibration* calibration,
                std::string_view message, std::span<Candidate* const> in_pack_order) {
  if (calibration == nullptr || in_pack_order.empty()) return ApplyCosine(options, in_pack_order);
  const std::vector<injection::Evidence> evidence = EvidenceOf(in_pack_order);
  Gated gated;
  const std::vector<double> scores = injection::ScoreRelevance(calibration->relevance, evidence);
  gated.probability = injection::AnswerProbability(calibration->answer, evidence, scores,
                                                   injection::SpeaksOfAsker(message));
  const bool holds = *gated.probability >= calibration->answer.threshold;
  gated.decision = !options.enabled ? "disabled" : holds ? "inject" : kNoAnswer;
  for (Candidate* candidate : in_pack_order) {
    candidate->passed = !options.enabled || holds;
    candidate->reason = candidate->passed ? "" : kNoAnswer;
  }
  return gated;
}

}  // namespace dki::orchestrator
