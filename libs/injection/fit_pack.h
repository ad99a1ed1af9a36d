// SPDX-License-Identifier: Apache-2.0
// Purpose: which memories a pack may hold when there is not room for all (design section 4,
// window): the worst-ranked are dropped first. Pure function.
#pragma once

#include <span>
#include <vector>

namespace dki::injection {

struct FitCandidate {
  int n_tokens = 0;  // of its line
  int rank = 0;      // 0 is the best; equal ranks: the later one is dropped first
};

// Indexes kept, in order, such that the sum of their tokens is at most `budget_tokens` (lines only:
// take header and footer off first). Memories are dropped from the worst rank upwards until the
// rest fits.
std::vector<int> FitPack(std::span<const FitCandidate> memories, int budget_tokens);

}  // namespace dki::injection
