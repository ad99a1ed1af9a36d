// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/dispatch.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

void SiluMul(Isa isa, const float* up, int n, float* gate) {
  if (isa == Isa::kReference) return reference::SiluMul(up, n, gate);
  DKI_CALL_CPU(isa, SiluMul, up, n, gate);
}

void Gelu(int n, float* x) {
  constexpr float kInverseSqrt2 = 0.70710678118654752f;
  for (int i = 0; i < n; ++i) x[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * kInverseSqrt2));
}

void AddTo(const float* x, int n, float* y) {
  for (int i = 0; i < n; ++i) y[i] += x[i];
}

void AddBias(const float* bias, int n_rows, int n, float* y) {
  for (int r = 0; r < n_rows; ++r, y += n) AddTo(bias, n, y);
}

void Softmax(int n, float* x) {
  const float max = *std::max_element(x, x + n);
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    x[i] = std::exp(x[i] - max);
    sum += x[i];
  }
  const float scale = static_cast<float>(1.0 / sum);
  for (int i = 0; i < n; ++i) x[i] *= scale;
}

}  // namespace dki::kernels
