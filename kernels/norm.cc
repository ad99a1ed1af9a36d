// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include <cmath>

#include "kernels/cpu/dispatch.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

void RmsNorm(Isa isa, const float* x, const float* weight, float epsilon, int n_rows, int n,
             float* y) {
  if (isa == Isa::kReference) return reference::RmsNorm(x, weight, epsilon, n_rows, n, y);
  DKI_CALL_CPU(isa, RmsNorm, x, weight, epsilon, n_rows, n, y);
}

void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, int n_rows,
               int n, float* y) {
  for (int r = 0; r < n_rows; ++r, x += n, y += n) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += x[i];
    const double mean = sum / n;
    double squares = 0;
    for (int i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1.0 / std::sqrt(squares / n + epsilon);
    for (int i = 0; i < n; ++i)
      y[i] = static_cast<float>((x[i] - mean) * scale) * weight[i] + bias[i];
  }
}

}  // namespace dki::kernels
