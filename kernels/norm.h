// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/isa.h"

namespace dki::kernels {

// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row (Zhang & Sennrich, arXiv:1910.07467).
// x, y: [n_rows, n] (may be the same); weight: [n].
void RmsNorm(Isa isa, const float* x, const float* weight, float epsilon, int n_rows, int n,
             float* y);

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row (arXiv:1607.06450).
// x, y: [n_rows, n] (may be the same); weight, bias: [n].
void LayerNorm(Isa isa, const float* x, const float* weight, const float* bias, float epsilon,
               int n_rows, int n, float* y);

}  // namespace dki::kernels
