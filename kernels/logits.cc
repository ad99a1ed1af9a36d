// SPDX-License-Identifier: Apache-2.0
#include "kernels/logits.h"

#include "kernels/cpu/dispatch.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

void BlockMaxima(Isa isa, const float* x, int n, float* maxima) {
  if (isa == Isa::kReference) return reference::BlockMaxima(x, n, maxima);
  DKI_CALL_CPU(isa, BlockMaxima, x, n, maxima);
}

void ExpWeights(Isa isa, const float* x, int n, float max, float scale, float* y, float* sums) {
  if (isa == Isa::kReference) return reference::ExpWeights(x, n, max, scale, y, sums);
  DKI_CALL_CPU(isa, ExpWeights, x, n, max, scale, y, sums);
}

}  // namespace dki::kernels
