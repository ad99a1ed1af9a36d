// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include "kernels/cpu/dispatch.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

void RmsNorm(Isa isa, const float* x, const float* weight, float epsilon, int n_rows, int n,
             float* y) {
  if (isa == Isa::kReference) return reference::RmsNorm(x, weight, epsilon, n_rows, n, y);
  DKI_CALL_CPU(isa, RmsNorm, x, weight, epsilon, n_rows, n, y);
}

void LayerNorm(Isa isa, const float* x, const float* weight, const float* bias, float epsilon,
               int n_rows, int n, float* y) {
  if (isa == Isa::kReference) return reference::LayerNorm(x, weight, bias, epsilon, n_rows, n, y);
  DKI_CALL_CPU(isa, LayerNorm, x, weight, bias, epsilon, n_rows, n, y);
}

}  // namespace dki::kernels
