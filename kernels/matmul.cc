// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/dispatch.h"
#include "kernels/reference/reference.h"
#include "kernels/scratch.h"

namespace dki::kernels {
namespace {

thread_local Scratch tile_scratch;
thread_local Scratch pad_scratch;

}  // namespace

void MatMul(Isa isa, const WeightMatrix& w, const float* x, int n_tokens, float* y, int row_begin,
            int row_end) {
  if (isa == Isa::kReference) return reference::MatMul(w, x, n_tokens, y, row_begin, row_end);
  const int stride = (w.k + kQuantBlock - 1) / kQuantBlock * kQuantBlock;
  if (stride != w.k) {  // only unquantised formats can have such a k
    float* padded = pad_scratch.Get<float>(static_cast<size_t>(n_tokens) * stride);
    std::fill_n(padded, static_cast<size_t>(n_tokens) * stride, 0.0f);
    for (int t = 0; t < n_tokens; ++t)
      std::copy_n(x + static_cast<size_t>(t) * w.k, w.k, padded + static_cast<size_t>(t) * stride);
    x = padded;
  }
  float* scratch = n_tokens == 1
                       ? nullptr
                       : tile_scratch.Get<float>(static_cast<size_t>(kMatMulTileRows) * stride);
  DKI_CALL_CPU(isa, MatMul, w, x, stride, n_tokens, y, row_begin, row_end, scratch);
}

void MatMul(ThreadPool* pool, Isa isa, const WeightMatrix& w, const float* x, int n_tokens,
            float* y) {
  pool->ForRanges(w.n_out, kMatMulTileRows,
                  [&](int begin, int end) { MatMul(isa, w, x, n_tokens, y, begin, end); });
}

}  // namespace dki::kernels
