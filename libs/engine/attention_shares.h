// SPDX-License-Identifier: Apache-2.0
// Purpose: the share of attention that parts of an answer's context received (P9): the mean over
//   layers, query heads and answer tokens of the softmax mass of a segment. Answer tokens are the
//   rows that produced one: the last row of the turn and the generated tokens that were fed back.
// Pure functions.
#pragma once

#include "libs/model/model.h"

namespace dki::engine {

struct Share {
  double biased = 0.0;    // as weighed
  double unbiased = 0.0;  // as if every weight were 1
};

// An empty accumulator for `n_segments` segments.
model::AttentionMass MakeAttentionMass(int n_layers, int n_segments);

// The share of column `column`. 0 before any row was accumulated.
Share ShareOf(const model::AttentionMass& mass, int column, int n_heads);

}  // namespace dki::engine
