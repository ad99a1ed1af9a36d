// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/reference/reference.h"

namespace dki::kernels::reference {

void Gelu(int n, float* x) {
  for (int i = 0; i < n; ++i)
    x[i] = static_cast<float>(0.5 * x[i] * (1.0 + std::erf(x[i] / std::sqrt(2.0))));
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

}  // namespace dki::kernels::reference
