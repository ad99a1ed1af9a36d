// SPDX-License-Identifier: Apache-2.0
// Purpose: what each input of the gate and of the relevance brings: fits that must do without it,
//   told by items that no fit has seen.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libs/eval/evidence_fit.h"

namespace dki::eval {

struct AblationRow {
  std::string name;  // "all", "without words", "entropy alone", ...
  int n_heads = 0;   // that the fit chose
  // 'The memories hold the answer': of each suite with items of both kinds, by index.
  std::map<size_t, double> auroc;
  // The most relevant memory is a gold one: % of the items with gold among several memories, mean
  // over suites.
  double gold_on_top = 0.0;
};

// Fits on `seen`, figures of `unseen`, the same suites in the same order. The heads are those that
// the fit with everything chooses. Errors as FitEvidence.
absl::StatusOr<std::vector<AblationRow>> Ablate(
    const std::vector<std::vector<LabelledItem>>& seen,
    const std::vector<std::vector<LabelledItem>>& unseen, size_t n_heads, int most_heads);

}  // namespace dki::eval
