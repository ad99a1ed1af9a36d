// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/cpu/int16_kernels.h"
#include "kernels/packed_matrix.h"
#include "kernels/reference/reference.h"

namespace dki::kernels::reference {
namespace {

uint16_t HalfAt(const uint8_t* halves, int row) {
  return static_cast<uint16_t>(halves[2 * row] | halves[2 * row + 1] << 8);
}

// Value i of a row's block.
int ValueAt(DType dtype, const uint8_t* q, int row, int i) {
  if (dtype == DType::kQ8_0) return static_cast<int8_t>(q[(i / 2 * kPackedRows + row) * 2 + i % 2]);
  const uint8_t* words = q + i / 8 * kPackedRows * 4;
  const int nibble = HalfAt(words, row * 2 + i % 2) >> (i % 8 / 2 * 4) & 15;
  return nibble < 8 ? nibble : nibble - 16;
}

}  // namespace

void QuantizeInt16(const float* x, size_t begin, size_t end, int16_t* q, float* d, float* sum) {
  for (size_t b = begin; b < end; ++b) {
    const float* xs = x + b * kQuantBlock;
    float largest = 0;
    for (int i = 0; i < kQuantBlock; ++i) largest = std::max(largest, std::fabs(xs[i]));
    const bool some = largest > kSmallestActivation;
    const float inverse = some ? 32767.0f / largest : 0.0f;
    for (int i = 0; i < kQuantBlock; ++i) {
      q[b * kQuantBlock + i] = static_cast<int16_t>(std::nearbyint(xs[i] * inverse));
    }
    d[b] = some ? largest / 32767.0f : 0.0f;
    float part[kQuantBlock];
    std::copy_n(xs, kQuantBlock, part);
    for (int half = kQuantBlock / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) part[i] += part[i + half];
    sum[b] = some ? part[0] : 0.0f;
  }
}

void MatMulInt16(const WeightMatrix& w, const QuantizedActivations& x, int n_tokens, float* y,
                 int row_begin, int row_end) {
  const int n_blocks = w.k / kQuantBlock;
  const size_t block_bytes = PackedBlockBytes(w.dtype);
  const size_t halves = kPackedRows * sizeof(uint16_t);
  for (int r = row_begin; r < row_end; ++r) {
    const int row = r % kPackedRows;
    const uint8_t* block = w.packed + r / kPackedRows * n_blocks * block_bytes;
    for (int t = 0; t < n_tokens; ++t) y[static_cast<size_t>(t) * w.n_out + r] = 0;
    for (int b = 0; b < n_blocks; ++b, block += block_bytes) {
      const float d = HalfToFloat(HalfAt(block, row));
      const bool has_m = w.dtype == DType::kQ4_1;
      const float m = has_m ? std::fma(d, 8.0f, HalfToFloat(HalfAt(block + halves, row))) : 0.0f;
      const uint8_t* q = block + (has_m ? 2 : 1) * halves;
      for (int t = 0; t < n_tokens; ++t) {
        const size_t at = static_cast<size_t>(t) * n_blocks + b;
        int dot = 0;
        for (int i = 0; i < kQuantBlock; ++i)
          dot += ValueAt(w.dtype, q, row, i) * x.q[at * kQuantBlock + i];
        float& out = y[static_cast<size_t>(t) * w.n_out + r];
        out = std::fma(static_cast<float>(dot), d * x.d[at], out);
        if (has_m) out = std::fma(m, x.sum[at], out);
      }
    }
  }
}

}  // namespace dki::kernels::reference
