// SPDX-License-Identifier: Apache-2.0
// y = x * W^T with W in any of the weight formats.
//
// An element's sum has one fixed order for a path, whatever the number of tokens, the range of rows
// or the threads (P11). With float activations, lane l of an accumulator takes the products at
// k = l, l + lanes, ... in turn; the lanes are then folded in halves. With int8 activations, the
// blocks of 32 are added in turn, each exact in integers.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/isa.h"
#include "kernels/thread_pool.h"

namespace dki::kernels {

struct WeightMatrix {
  DType dtype = DType::kF32;
  int n_out = 0;
  int k = 0;                   // REQUIRES: a multiple of BlockValues(dtype)
  const void* data = nullptr;  // [n_out, k], rows one after the other; need not be aligned
};

// Rows of W that are unpacked together: ranges are best cut at multiples of it.
inline constexpr int kMatMulTileRows = 16;

// Computes the rows [row_begin, row_end) of W for all tokens.
// x: [n_tokens, k]; y: [n_tokens, n_out], of which the columns [row_begin, row_end) are written.
void MatMul(Isa isa, const WeightMatrix& w, const float* x, int n_tokens, float* y, int row_begin,
            int row_end);
// All rows, split over the team.
void MatMul(ThreadPool* pool, Isa isa, const WeightMatrix& w, const float* x, int n_tokens,
            float* y);

// Activations in blocks of 32 along k, as two int8 digits: x = d * (256 * high + low). One digit
// (GGML's Q8_1) is not enough for a small model: on SmolLM2-135M it costs a KL of 0.004 and 10 % of
// the largest logit, nearly all of it in the products of q, k, v, gate, up, down and the head. Owns
// its memory.
struct QuantizedActivations {
  int k = 0;
  std::vector<int8_t> high, low;  // [n_tokens, k], each within [-127, 127]
  std::vector<float> d;           // [n_tokens, k / 32]
  // Sums of 256 * high + low over a block: the constant part of Q4_1 and the zero points of other
  // formats need them.
  std::vector<int32_t> sum;  // [n_tokens, k / 32]

  // Makes room. REQUIRES: k is a multiple of 32.
  void Resize(int n_tokens, int k);
};
// Quantises the tokens [begin, end) of x. All paths give the same result.
void QuantizeActivations(const float* x, int begin, int end, QuantizedActivations* out);

// The same product with int8 activations. All paths give the same bits. REQUIRES: IsQuantized.
void MatMulInt8(Isa isa, const WeightMatrix& w, const QuantizedActivations& x, int n_tokens,
                float* y, int row_begin, int row_end);

}  // namespace dki::kernels
