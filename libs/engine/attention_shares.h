// SPDX-License-Identifier: Apache-2.0
// Purpose: the share of attention that parts of an answer's context received (P9): the mean over
//   layers, query heads and answer tokens of the softmax mass of a segment. Answer tokens are the
//   rows that produced one: the last row of the turn and the generated tokens that were fed back.
// Pure functions.
#pragma once

#include "libs/injection/attention_head.h"
#include "libs/model/model.h"

namespace dki::engine {

struct Share {
  double biased = 0.0;    // as weighed
  double unbiased = 0.0;  // as if every weight were 1
};

// The share of column `column`. 0 before any row was accumulated.
Share ShareOf(const model::AttentionMass& mass, int column);
// As weighed: the mean over the heads of the middle half of the layers, of those that see anything
// of the column (a windowed layer sees no further than its window), and of one head.
double MiddleShareOf(const model::AttentionMass& mass, int column);
double HeadShareOf(const model::AttentionMass& mass, int column, injection::AttentionHead head);

}  // namespace dki::engine
