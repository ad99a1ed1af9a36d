// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/fit_pack.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace dki::injection {

std::vector<int> FitPack(std::span<const FitCandidate> memories, int budget_tokens) {
  std::vector<int> kept(memories.size());
  std::iota(kept.begin(), kept.end(), 0);
  std::stable_sort(kept.begin(), kept.end(),
                   [&](int a, int b) { return memories[a].rank < memories[b].rank; });
  int64_t tokens = 0;
  for (const FitCandidate& memory : memories) tokens += memory.n_tokens;
  while (!kept.empty() && tokens > budget_tokens) {
    tokens -= memories[kept.back()].n_tokens;
    kept.pop_back();
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

}  // namespace dki::injection
