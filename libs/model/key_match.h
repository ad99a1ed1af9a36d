// SPDX-License-Identifier: Apache-2.0
// Purpose: how well the rows of a chunk match the keys of some tokens, layer by layer, whether or
//   not the chunk attends to them: <RMSNorm(q), RMSNorm(k)> / sqrt(d) with the layer's own queries
//   and the tokens' keys, both before their rotation (the gate of Engram, arXiv:2601.07372,
//   on queries and keys; the norms' weights are ones, epsilon is 1e-6). Positions play no part.
// Plain data; the forward pass adds to it (forward_match.cc). A score is taken over rows one by
// one, so it does not depend on how they were cut into chunks (P11).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "libs/model/kv_buffer.h"

namespace dki::model {

// Over rows and the query heads that share a K/V head.
enum class MatchPool { kMax, kMean };

// Tokens [begin, begin + n_tokens) of a buffer, whose key j is rotated by j.
struct KeyRun {
  const KvBuffer* kv = nullptr;
  int begin = 0;
  int n_tokens = 0;
  // The greatest score, or the sum of all. [n_layers, n_tokens, n_kv_heads]; made by the pass.
  std::vector<double> scores = {};
};

struct KeyMatch {
  MatchPool pool = MatchPool::kMax;
  std::vector<KeyRun> runs = {};
  int64_t rows = 0;  // added so far

  // The greatest score, or the mean. REQUIRES: rows > 0. `group`: query heads of a K/V head.
  double Score(const KeyRun& run, size_t index, int group) const {
    return pool == MatchPool::kMax ? run.scores[index]
                                   : run.scores[index] / static_cast<double>(rows * group);
  }
};

}  // namespace dki::model
