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

void GeluTanhMul(Isa isa, const float* up, int n, float* gate) {
  if (isa == Isa::kReference) return reference::GeluTanhMul(up, n, gate);
  DKI_CALL_CPU(isa, GeluTanhMul, up, n, gate);
}

void Gelu(Isa isa, int n, float* x) {
  if (isa == Isa::kReference) return reference::Gelu(n, x);
  DKI_CALL_CPU(isa, Gelu, n, x);
}

void AddTo(const float* x, int n, float* y) {
  for (int i = 0; i < n; ++i) y[i] += x[i];
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
