// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/gate.h"

#include <algorithm>

namespace dki::injection {

GateDecision DecideGate(const GateOptions& options, std::span<const double> cosines) {
  GateDecision decision;
  for (const double cosine : cosines) {
    decision.passed.push_back(!options.enabled || cosine >= options.threshold);
  }
  if (cosines.empty()) {
    decision.reason = "no_memory";
  } else if (!options.enabled) {
    decision.reason = "disabled";
  } else if (std::ranges::find(decision.passed, true) == decision.passed.end()) {
    decision.reason = "below_threshold";
  } else {
    decision.reason = "inject";
  }
  return decision;
}

}  // namespace dki::injection
