// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/attention_shares.h"

#include <algorithm>

namespace dki::engine {

Share ShareOf(const model::AttentionMass& mass, int column) {
  Share share;
  if (mass.rows == 0) return share;
  for (size_t at = column; at < mass.size(); at += mass.n_columns) {
    share.biased += mass.biased[at];
    share.unbiased += mass.unbiased[at];
  }
  const double n = static_cast<double>(mass.n_layers) * mass.n_heads * mass.rows;
  return {share.biased / n, share.unbiased / n};
}

double MiddleShareOf(const model::AttentionMass& mass, int column) {
  if (mass.rows == 0) return 0.0;
  const int begin = mass.n_layers / 4;
  const int end = std::max(begin + 1, 3 * mass.n_layers / 4);
  double share = 0.0;
  int n_seeing = 0;
  for (int layer = begin; layer < end; ++layer) {
    double of_layer = 0.0;
    for (int head = 0; head < mass.n_heads; ++head) {
      of_layer += mass.biased[mass.at(layer, head, column)];
    }
    // What is masked has no mass at all; what is seen has some, however small.
    n_seeing += of_layer > 0.0 ? 1 : 0;
    share += of_layer;
  }
  if (n_seeing == 0) return 0.0;
  return share / (static_cast<double>(n_seeing) * mass.n_heads * mass.rows);
}

double HeadShareOf(const model::AttentionMass& mass, int column, injection::AttentionHead head) {
  if (mass.rows == 0) return 0.0;
  return mass.biased[mass.at(head.layer, head.head, column)] / static_cast<double>(mass.rows);
}

}  // namespace dki::engine
