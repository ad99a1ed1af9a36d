// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/isa.h"

namespace dki::kernels {

// gate = f(gate) * up, or f(gate) where up is null (gated units: arXiv:2002.05202). gate, up: [n].
// f(x) = silu(x) = x / (1 + exp(-x))
void SiluMul(Isa isa, const float* up, int n, float* gate);
// f(x) = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))), the approximation of gelu
// (arXiv:1606.08415)
void GeluTanhMul(Isa isa, const float* up, int n, float* gate);

// x = x/2 * (1 + erf(x / sqrt 2)): the exact form, as BERT uses it. x: [n].
void Gelu(Isa isa, int n, float* x);

// y += x. x, y: [n].
void AddTo(const float* x, int n, float* y);

// x = softmax(x), finite for any finite input. x: [n], n >= 1.
void Softmax(int n, float* x);

}  // namespace dki::kernels
