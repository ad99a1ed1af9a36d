// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations with quantised weights, lanes = rows of W; included once by the file
// of each instruction set after its IntLanes.
//
// A tile of kRows rows and 32 values of k is transposed into eight vectors: vector j holds for each
// row its weights 4j .. 4j+3, as the dot product instructions want them. A token's four activations
// are broadcast against it. So each lane sums one output element alone, block after block in order:
//   y += (d_w * d_x) * (sum q_w q_x - zero * sum q_x)  [ + m_w * (d_x * sum q_x) for Q4_1 ]
// with q_x = 256 * high + low, two dot products. The sums are exact integers and no step is fused,
// so that all paths agree with the scalar oracle to the bit, for any number of tokens.
#pragma once

#include <string.h>

#include "kernels/cpu/int8_kernels.h"

namespace {

using dki::kernels::BlockQ4_0;
using dki::kernels::BlockQ4_1;
using dki::kernels::BlockQ8_0;
using dki::kernels::DType;
using dki::kernels::kQuantBlock;
using dki::kernels::QuantizedView;
using dki::kernels::WeightMatrix;
using I = IntLanes::I;
using F = IntLanes::F;

constexpr int kRows = IntLanes::kRows;
constexpr int kMaxTokens = IntLanes::kTokens;  // three accumulators each
// Blocks of a tile in memory at a time: 40 KiB with 16 rows, in the first-level cache.
constexpr int kMaxBlocks = 64;

// Transposed weights of a tile, one block of k.
struct alignas(64) PackedBlock {
  uint8_t q[8][4 * kRows];  // [j][row][4]
  float d[kRows];
  float m[kRows];
};

template <DType kType>
struct Format;
template <>
struct Format<DType::kQ8_0> {
  using Block = BlockQ8_0;
  static constexpr int kZero = IntLanes::kQ8Zero;
};
template <>
struct Format<DType::kQ4_0> {
  using Block = BlockQ4_0;
  static constexpr int kZero = 8;
};
template <>
struct Format<DType::kQ4_1> {
  using Block = BlockQ4_1;
  static constexpr int kZero = 0;
};

// rows[r]: the block of row r.
template <DType kType>
inline void Pack(const typename Format<kType>::Block* const* rows, PackedBlock* out) {
  const uint8_t* q[kRows];
  for (int r = 0; r < kRows; ++r) q[r] = reinterpret_cast<const uint8_t*>(rows[r]->q);
  I v[4];
  if constexpr (kType == DType::kQ8_0) {
    for (int half = 0; half < 2; ++half) {
      IntLanes::Transpose(q, half * 16, v);
      for (int j = 0; j < 4; ++j) IntLanes::Store(out->q[half * 4 + j], IntLanes::FromInt8(v[j]));
    }
  } else {
    IntLanes::Transpose(q, 0, v);
    for (int j = 0; j < 4; ++j) {
      IntLanes::Store(out->q[j], IntLanes::LowNibbles(v[j]));
      IntLanes::Store(out->q[4 + j], IntLanes::HighNibbles(v[j]));
    }
  }
  alignas(64) uint16_t d[kRows];
  for (int r = 0; r < kRows; ++r) d[r] = rows[r]->d;
  IntLanes::Store(out->d, IntLanes::LoadHalf(d));
  if constexpr (kType == DType::kQ4_1) {
    alignas(64) uint16_t m[kRows];
    for (int r = 0; r < kRows; ++r) m[r] = rows[r]->m;
    IntLanes::Store(out->m, IntLanes::LoadHalf(m));
  }
}

// acc plus, for each row, its four weights times the four activations at x.
template <DType kType>
inline I DotFour(I acc, I w, const int8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof(four));
  return kType == DType::kQ8_0 ? IntLanes::DotQ8(acc, w, IntLanes::Set(four))
                               : IntLanes::Dot(acc, w, IntLanes::Set(four));
}

// Adds n_blocks blocks of a tile to the sums of kTokens tokens.
// x: at the first of the blocks of the first token; k: values of a token; sums: [kTokens][kRows].
template <DType kType, int kTokens>
inline void Multiply(const PackedBlock* blocks, int n_blocks, const QuantizedView& x, int k,
                     float (*sums)[kRows]) {
  constexpr int kZero = Format<kType>::kZero;
  F total[kTokens];
  for (int t = 0; t < kTokens; ++t) total[t] = IntLanes::Load(sums[t]);
  for (int b = 0; b < n_blocks; ++b) {
    const PackedBlock& block = blocks[b];
    I high[kTokens], low[kTokens];
    for (int t = 0; t < kTokens; ++t) high[t] = low[t] = IntLanes::Zero();
    for (int j = 0; j < 8; ++j) {
      const I w = IntLanes::LoadBytes(block.q[j]);
      for (int t = 0; t < kTokens; ++t) {
        const size_t at = static_cast<size_t>(t) * k + b * kQuantBlock + 4 * j;
        high[t] = DotFour<kType>(high[t], w, x.high + at);
        low[t] = DotFour<kType>(low[t], w, x.low + at);
      }
    }
    const F dw = IntLanes::Load(block.d);
    for (int t = 0; t < kTokens; ++t) {
      const size_t at = static_cast<size_t>(t) * (k / kQuantBlock) + b;
      I dot = IntLanes::Times256Plus(high[t], low[t]);
      if constexpr (kZero != 0) dot = IntLanes::Subtract(dot, IntLanes::Set(kZero * x.sum[at]));
      const F scale = IntLanes::Mul(dw, IntLanes::SetFloat(x.d[at]));
      total[t] = IntLanes::Add(total[t], IntLanes::Mul(scale, IntLanes::ToFloat(dot)));
      if constexpr (kType == DType::kQ4_1) {
        const F constant = IntLanes::SetFloat(x.d[at] * static_cast<float>(x.sum[at]));
        total[t] = IntLanes::Add(total[t], IntLanes::Mul(IntLanes::Load(block.m), constant));
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) IntLanes::Store(sums[t], total[t]);
}

template <DType kType, int kTokens>
inline void MultiplyAny(int n_tokens, const PackedBlock* blocks, int n_blocks,
                        const QuantizedView& x, int k, float (*sums)[kRows]) {
  if constexpr (kTokens > 0) {
    if (n_tokens == kTokens)
      Multiply<kType, kTokens>(blocks, n_blocks, x, k, sums);
    else
      MultiplyAny<kType, kTokens - 1>(n_tokens, blocks, n_blocks, x, k, sums);
  }
}

template <DType kType>
void MatMulInt8Of(const WeightMatrix& w, const QuantizedView& x, int n_tokens, float* y,
                  int row_begin, int row_end) {
  using Block = typename Format<kType>::Block;
  PackedBlock packed[kMaxBlocks];
  const int n_blocks = w.k / kQuantBlock;
  const Block* data = static_cast<const Block*>(w.data);
  for (int r0 = row_begin; r0 < row_end; r0 += kRows) {
    const int rows = row_end - r0 < kRows ? row_end - r0 : kRows;
    for (int b0 = 0; b0 < n_blocks; b0 += kMaxBlocks) {
      const int blocks = n_blocks - b0 < kMaxBlocks ? n_blocks - b0 : kMaxBlocks;
      for (int b = 0; b < blocks; ++b) {
        const Block* at[kRows];  // rows beyond the last repeat it; their sums are not stored
        for (int r = 0; r < kRows; ++r) {
          at[r] = data + static_cast<size_t>(r0 + (r < rows ? r : rows - 1)) * n_blocks + b0 + b;
          // The next tile's: rows are too short for the CPU's own prefetching.
          __builtin_prefetch(at[r] + static_cast<size_t>(kRows) * n_blocks);
        }
        Pack<kType>(at, &packed[b]);
      }
      for (int t = 0; t < n_tokens; t += kMaxTokens) {
        const int tokens = n_tokens - t < kMaxTokens ? n_tokens - t : kMaxTokens;
        alignas(64) float sums[kMaxTokens][kRows];
        for (int i = 0; i < tokens; ++i) {
          const float* yt = y + static_cast<size_t>(t + i) * w.n_out + r0;
          for (int r = 0; r < kRows; ++r) sums[i][r] = b0 == 0 || r >= rows ? 0.0f : yt[r];
        }
        const size_t first = static_cast<size_t>(t) * n_blocks + b0;
        const QuantizedView from{x.high + first * kQuantBlock, x.low + first * kQuantBlock,
                                 x.d + first, x.sum + first};
        MultiplyAny<kType, kMaxTokens>(tokens, packed, blocks, from, w.k, sums);
        for (int i = 0; i < tokens; ++i) {
          float* yt = y + static_cast<size_t>(t + i) * w.n_out + r0;
          for (int r = 0; r < rows; ++r) yt[r] = sums[i][r];
        }
      }
    }
  }
}

void MatMulInt8Any(const WeightMatrix& w, const QuantizedView& x, int n_tokens, float* y,
                   int row_begin, int row_end) {
  if (w.dtype == DType::kQ8_0)
    MatMulInt8Of<DType::kQ8_0>(w, x, n_tokens, y, row_begin, row_end);
  else if (w.dtype == DType::kQ4_0)
    MatMulInt8Of<DType::kQ4_0>(w, x, n_tokens, y, row_begin, row_end);
  else
    MatMulInt8Of<DType::kQ4_1>(w, x, n_tokens, y, row_begin, row_end);
}

}  // namespace
