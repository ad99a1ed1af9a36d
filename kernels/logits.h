// SPDX-License-Identifier: Apache-2.0
// What choosing a token asks of a row of logits. Blocks let the caller look at a few of a whole
// vocabulary.
#pragma once

#include "kernels/isa.h"

namespace dki::kernels {

inline constexpr int kLogitBlock = 64;
inline constexpr int LogitBlocks(int n) {
  return (n + kLogitBlock - 1) / kLogitBlock;
}

// maxima[b] = the largest of block b of x, NaN passed over; -infinity where it has nothing else.
// [LogitBlocks(n)]
void BlockMaxima(Isa isa, const float* x, int n, float* maxima);

// y[i] = exp((x[i] - max) * scale); 0 for NaN, and where it is less than 1e-37. sums[b] is the sum
// of block b: [LogitBlocks(n)]. REQUIRES: x <= max, which is finite; scale > 0.
void ExpWeights(Isa isa, const float* x, int n, float max, float scale, float* y, float* sums);

}  // namespace dki::kernels
