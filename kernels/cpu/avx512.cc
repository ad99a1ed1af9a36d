// SPDX-License-Identifier: Apache-2.0
// Lanes first: the templates below are written in them.
#include "kernels/cpu/lanes_avx512.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/dense_impl.h"
#include "kernels/cpu/logits_impl.h"
#include "kernels/cpu/matmul_impl.h"
#include "kernels/cpu/rows_impl.h"

namespace dki::kernels::avx512 {

void MatMul(const WeightMatrix& w, const float* x, int x_stride, int n_tokens, float* y,
            int row_begin, int row_end, float* scratch) {
  MatMulAny(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
}
void RmsNorm(const float* x, const float* weight, float epsilon, int n_rows, int n, float* y) {
  RmsNormRows(x, weight, epsilon, n_rows, n, y);
}
void SiluMul(const float* up, int n, float* gate) {
  GatedRow<false>(up, n, gate);
}
void GeluTanhMul(const float* up, int n, float* gate) {
  GatedRow<true>(up, n, gate);
}
void Gelu(int n, float* x) {
  GeluRow(n, x);
}
void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, int n_rows,
               int n, float* y) {
  LayerNormRows(x, weight, bias, epsilon, n_rows, n, y);
}
void Dense(const DenseView& m, const float* x, int n_tokens, float* y, int panel_begin,
           int panel_end) {
  DensePanels(m, x, n_tokens, y, panel_begin, panel_end);
}

void BlockMaxima(const float* x, int n, float* maxima) {
  BlockMaximaRow(x, n, maxima);
}
void ExpWeights(const float* x, int n, float max, float scale, float* y, float* sums) {
  ExpWeightsRow(x, n, max, scale, y, sums);
}

}  // namespace dki::kernels::avx512
