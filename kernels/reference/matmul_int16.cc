// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/int16_kernels.h"
#include "kernels/packed_matrix.h"
#include "kernels/reference/reference.h"

namespace dki::kernels::reference {
namespace {

uint16_t HalfAt(const uint8_t* halves, int row) {
  return static_cast<uint16_t>(halves[2 * row] | halves[2 * row + 1] << 8);
}

// A row of a packed block: w = d * q + m.
struct RowBlock {
  float d = 0;
  float m = 0;
  int q[kQuantBlock];
};

RowBlock ReadBlock(DType dtype, const uint8_t* block, int row) {
  const size_t halves = kPackedRows * sizeof(uint16_t);
  RowBlock out;
  if (!IsQuantized(dtype)) {
    std::memcpy(&out.d, block + row * sizeof(float), sizeof(float));
    const uint8_t* q = block + kPackedRows * sizeof(float);
    for (int i = 0; i < kQuantBlock; ++i)
      out.q[i] = static_cast<int16_t>(HalfAt(q, (i / 2 * kPackedRows + row) * 2 + i % 2));
    return out;
  }
  out.d = HalfToFloat(HalfAt(block, row));
  const uint8_t* q = block + halves;
  if (dtype == DType::kQ8_0) {
    for (int i = 0; i < kQuantBlock; ++i)
      out.q[i] = static_cast<int8_t>(q[(i / 2 * kPackedRows + row) * 2 + i % 2]);
    return out;
  }
  if (dtype == DType::kQ4_1) {
    out.m = std::fma(out.d, 8.0f, HalfToFloat(HalfAt(q, row)));
    q += halves;
  }
  for (int i = 0; i < kQuantBlock; ++i) {
    const int word = HalfAt(q + i / 8 * kPackedRows * 4, row * 2 + i % 2);
    const int nibble = word >> (i % 8 / 2 * 4) & 15;
    out.q[i] = nibble < 8 ? nibble : nibble - 16;
  }
  return out;
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
  for (int r = row_begin; r < row_end; ++r) {
    const uint8_t* at = w.packed + r / kPackedRows * n_blocks * block_bytes;
    for (int t = 0; t < n_tokens; ++t) y[static_cast<size_t>(t) * w.n_out + r] = 0;
    for (int b = 0; b < n_blocks; ++b, at += block_bytes) {
      const RowBlock block = ReadBlock(w.dtype, at, r % kPackedRows);
      for (int t = 0; t < n_tokens; ++t) {
        const size_t xb = static_cast<size_t>(t) * n_blocks + b;
        int dot = 0;
        for (int i = 0; i < kQuantBlock; ++i) dot += block.q[i] * x.q[xb * kQuantBlock + i];
        float& out = y[static_cast<size_t>(t) * w.n_out + r];
        out = std::fma(static_cast<float>(dot), block.d * x.d[xb], out);
        if (w.dtype == DType::kQ4_1) out = std::fma(block.m, x.sum[xb], out);
      }
    }
  }
}

}  // namespace dki::kernels::reference
