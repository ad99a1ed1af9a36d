// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/attention_shares.h"

namespace dki::engine {

model::AttentionMass MakeAttentionMass(int n_layers, int n_segments) {
  model::AttentionMass mass;
  mass.n_layers = n_layers;
  mass.n_columns = n_segments + 1;
  mass.biased.assign(static_cast<size_t>(n_layers) * mass.n_columns, 0.0);
  mass.unbiased = mass.biased;
  return mass;
}

Share ShareOf(const model::AttentionMass& mass, int column, int n_heads) {
  Share share;
  if (mass.rows == 0) return share;
  for (int layer = 0; layer < mass.n_layers; ++layer) {
    const size_t at = static_cast<size_t>(layer) * mass.n_columns + column;
    share.biased += mass.biased[at];
    share.unbiased += mass.unbiased[at];
  }
  const double n = static_cast<double>(mass.n_layers) * mass.rows * n_heads;
  return {share.biased / n, share.unbiased / n};
}

}  // namespace dki::engine
