// SPDX-License-Identifier: Apache-2.0
// y = x * W^T with W in any of the weight formats and float activations.
//
// An element's sum has one fixed order for a path, whatever the number of tokens, the range of rows
// or the threads (P11): lane l of an accumulator takes the products at k = l, l + lanes, ... in
// turn; the lanes are then folded in halves.
#pragma once

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/isa.h"
#include "kernels/thread_pool.h"

namespace dki::kernels {

struct WeightMatrix {
  DType dtype = DType::kF32;
  int n_out = 0;
  int k = 0;                        // REQUIRES: a multiple of BlockValues(dtype)
  const void* data = nullptr;       // [n_out, k], rows one after the other; need not be aligned
  const uint8_t* packed = nullptr;  // the same in the order of packed_matrix.h, or null
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

}  // namespace dki::kernels
