// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace dki::kernels::reference {

void MatMul(const WeightMatrix& w, const float* x, int n_tokens, float* y, int row_begin,
            int row_end) {
  const size_t row_bytes = RowBytes(w.dtype, w.k);
  std::vector<float> row(w.k);
  for (int r = row_begin; r < row_end; ++r) {
    DequantizeRow(w.dtype, static_cast<const char*>(w.data) + r * row_bytes, w.k, row.data());
    for (int t = 0; t < n_tokens; ++t) {
      const float* xt = x + static_cast<size_t>(t) * w.k;
      double sum = 0;
      for (int i = 0; i < w.k; ++i) sum += static_cast<double>(row[i]) * xt[i];
      y[static_cast<size_t>(t) * w.n_out + r] = static_cast<float>(sum);
    }
  }
}

void RmsNorm(const float* x, const float* weight, float epsilon, int n_rows, int n, float* y) {
  for (int r = 0; r < n_rows; ++r, x += n, y += n) {
    double squares = 0;
    for (int i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
    const double scale = 1.0 / std::sqrt(squares / n + epsilon);
    for (int i = 0; i < n; ++i) y[i] = static_cast<float>(x[i] * scale * weight[i]);
  }
}

void SiluMul(const float* up, int n, float* gate) {
  for (int i = 0; i < n; ++i) {
    const double x = gate[i];
    gate[i] = static_cast<float>(x / (1.0 + std::exp(-x)) * (up == nullptr ? 1.0f : up[i]));
  }
}

void GeluTanhMul(const float* up, int n, float* gate) {
  constexpr double kSqrt2OverPi = 0.79788456080286535588;
  for (int i = 0; i < n; ++i) {
    const double x = gate[i];
    const double y = x / 2 * (1.0 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
    gate[i] = static_cast<float>(y * (up == nullptr ? 1.0f : up[i]));
  }
}

}  // namespace dki::kernels::reference
