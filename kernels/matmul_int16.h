// SPDX-License-Identifier: Apache-2.0
// y = x * W^T with packed weights (packed_matrix.h) and activations in 16-bit integers.
//
// One int8 digit per activation (GGML's Q8_1) is not enough for a small model: on SmolLM2-135M it
// costs a KL of 0.004 and 10 % of the largest logit. And the instructions that multiply pairs of
// 16-bit integers need no unsigned operand.
//
// Per block of 32 along k, with 4-bit weights taken less 8, the dot product is an exact integer;
// blocks are added in turn,
//   y = fma(float(dot), d_w * d_x, y), then for Q4_1 y = fma(fma(8, d_w, m_w), s_x, y)
// where s_x is the sum of the block's activations before rounding. So rounding them meets weights
// whose mean is near zero: the error is less than half of that with weights from 0 to 15.
// All paths give the same bits, whatever the number of tokens, the range of rows or the threads
// (P11).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/isa.h"
#include "kernels/matmul.h"

namespace dki::kernels {

// x = d * q. Owns its memory, which only grows.
struct QuantizedActivations {
  int k = 0;
  std::vector<int16_t> q;  // [n_tokens, k], within [-32767, 32767]
  std::vector<float> d;    // [n_tokens, k / 32]
  // Sums of the blocks of x, folded in halves: lane i adds i + 16, then i + 8, ... [n_tokens, k/32]
  std::vector<float> sum;

  // Makes room. REQUIRES: k is a multiple of 32.
  void Resize(int n_tokens, int k);
};
// Quantises the tokens [begin, end) of x. All paths give the same result.
void QuantizeActivations(Isa isa, const float* x, int begin, int end, QuantizedActivations* out);

// REQUIRES: w.packed, row_begin a multiple of kMatMulTileRows.
void MatMulInt16(Isa isa, const WeightMatrix& w, const QuantizedActivations& x, int n_tokens,
                 float* y, int row_begin, int row_end);

}  // namespace dki::kernels
