// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/isa.h"

namespace dki::kernels {

// gate = silu(gate) * up, silu(x) = x / (1 + exp(-x)) (SwiGLU, arXiv:2002.05202). gate, up: [n].
void SiluMul(Isa isa, const float* up, int n, float* gate);

// x = x/2 * (1 + erf(x / sqrt 2)): the exact form, as BERT uses it. x: [n].
void Gelu(Isa isa, int n, float* x);

// y += x. x, y: [n].
void AddTo(const float* x, int n, float* y);

// x = softmax(x), finite for any finite input. x: [n], n >= 1.
void Softmax(int n, float* x);

}  // namespace dki::kernels
