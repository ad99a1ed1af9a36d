// SPDX-License-Identifier: Apache-2.0
// The oracle: scalar, double accumulation, no cleverness. The tiled attention has the same order of
// tiles as all others.
#pragma once

#include "kernels/attention.h"
#include "kernels/dense.h"
#include "kernels/kv_codec.h"
#include "kernels/matmul.h"
#include "kernels/matmul_int16.h"

namespace dki::kernels::reference {

void MatMul(const WeightMatrix& w, const float* x, int n_tokens, float* y, int row_begin,
            int row_end);
void MatMulInt16(const WeightMatrix& w, const QuantizedActivations& x, int n_tokens, float* y,
                 int row_begin, int row_end);
void QuantizeInt16(const float* x, size_t begin, size_t end, int16_t* q, float* d, float* sum);
void RmsNorm(const float* x, const float* weight, float epsilon, int n_rows, int n, float* y);
void SiluMul(const float* up, int n, float* gate);
void GeluTanhMul(const float* up, int n, float* gate);
void Gelu(int n, float* x);
void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, int n_rows,
               int n, float* y);
void BlockMaxima(const float* x, int n, float* maxima);
void ExpWeights(const float* x, int n, float max, float scale, float* y, float* sums);
void Dense(const DenseMatrix& matrix, const float* x, int n_tokens, float* y, int panel_begin,
           int panel_end);
void Attention(const AttentionOp& op, int begin, int end);
void Int8Dots(const int8_t* query, const int8_t* const* rows, int n_rows, int n, int32_t* dots);
float Dot(const float* a, const float* b, int n);
void DecodeKeys(const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                const float* rotations, float* keys);
void DecodeValues(const KvGroupShape& shape, const uint8_t* groups, int n_tokens, float* values);

}  // namespace dki::kernels::reference
