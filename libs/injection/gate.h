// SPDX-License-Identifier: Apache-2.0
// Purpose: which retrieved memories may be injected (design section 6). Here: calibrated cosine
// alone; the probe comes with
//   the evaluation that calibrates it. Pure functions.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace dki::injection {

struct GateOptions {
  bool enabled = true;
  // MiniLM gives the memory that answers 0.30 to 0.77 on real texts, unrelated ones up to 0.3.
  double threshold = 0.30;
};

struct GateDecision {
  std::string reason;        // "inject", "no_memory", "below_threshold", "disabled"
  std::vector<bool> passed;  // one per memory
};

GateDecision DecideGate(const GateOptions& options, std::span<const double> cosines);

}  // namespace dki::injection
