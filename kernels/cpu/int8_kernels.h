// SPDX-License-Identifier: Apache-2.0
// Products with int8 activations. The int8 kernels differ by dot product instruction, not by float
// width: VNNI's on ymm and zmm, or AVX2's multiply-add pairs.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace dki::kernels {

namespace avx2 {
void MatMulInt8(const WeightMatrix& w, const QuantizedView& x, int n_tokens, float* y,
                int row_begin, int row_end);
}
namespace vnni {
void MatMulInt8(const WeightMatrix& w, const QuantizedView& x, int n_tokens, float* y,
                int row_begin, int row_end);
}

}  // namespace dki::kernels
