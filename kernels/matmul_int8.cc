// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/cpu/int8_kernels.h"
#include "kernels/matmul.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

void QuantizedActivations::Resize(int n_tokens, int k_values) {
  k = k_values;
  const size_t n = static_cast<size_t>(n_tokens) * k;
  if (high.size() >= n) return;
  high.resize(n);
  low.resize(n);
  d.resize(n / kQuantBlock);
  sum.resize(n / kQuantBlock);
}

void QuantizeActivations(const float* x, int begin, int end, QuantizedActivations* out) {
  const size_t first = static_cast<size_t>(begin) * out->k / kQuantBlock;
  const size_t last = static_cast<size_t>(end) * out->k / kQuantBlock;
  for (size_t b = first; b < last; ++b) {
    const float* xs = x + b * kQuantBlock;
    int8_t* high = out->high.data() + b * kQuantBlock;
    int8_t* low = out->low.data() + b * kQuantBlock;
    float largest = 0;
    for (int i = 0; i < kQuantBlock; ++i) largest = std::max(largest, std::fabs(xs[i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    // Adding and taking away 1.5 * 2^23 rounds to the nearest even integer, vectorised everywhere.
    constexpr float kRound = 12582912.0f;
    int32_t sum = 0;
    for (int i = 0; i < kQuantBlock; ++i) {
      const float scaled = xs[i] * inverse;
      const float first = (scaled + kRound) - kRound;
      const float second = ((scaled - first) * 256.0f + kRound) - kRound;
      // -128 is left out: AVX2 cannot negate it.
      const float clamped = std::min(std::max(second, -127.0f), 127.0f);
      high[i] = static_cast<int8_t>(static_cast<int32_t>(first));
      low[i] = static_cast<int8_t>(static_cast<int32_t>(clamped));
      sum += 256 * high[i] + low[i];
    }
    out->d[b] = largest / (127.0f * 256.0f);
    out->sum[b] = sum;
  }
}

void MatMulInt8(Isa isa, const WeightMatrix& w, const QuantizedActivations& x, int n_tokens,
                float* y, int row_begin, int row_end) {
#if defined(__x86_64__)
  const QuantizedView view{x.high.data(), x.low.data(), x.d.data(), x.sum.data()};
  if (UsesVnni(isa)) return vnni::MatMulInt8(w, view, n_tokens, y, row_begin, row_end);
  if (isa == Isa::kAvx2 || isa == Isa::kAvx512)
    return avx2::MatMulInt8(w, view, n_tokens, y, row_begin, row_end);
#endif
  reference::MatMulInt8(w, x, n_tokens, y, row_begin, row_end);
}

}  // namespace dki::kernels
