// SPDX-License-Identifier: Apache-2.0
// Float-activation products over Lanes, included once by the file of each instruction set.
//
// An element's sum is one accumulator of lanes, filled in blocks of 32 along k and folded in
// halves, in both routes below; so they agree to the bit:
// - one token: weights go from memory to registers to the sum, bound by memory bandwidth;
// - several: a tile of rows is dequantised once into a buffer and multiplied with blocks of tokens,
//   kTileRows x kTileTokens accumulators at a time, bound by arithmetic.
#pragma once

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/small_blocks.h"

namespace {

using dki::kernels::BlockQ4_0;
using dki::kernels::BlockQ4_1;
using dki::kernels::BlockQ8_0;
using dki::kernels::DType;
using dki::kernels::kMatMulTileRows;
using dki::kernels::WeightMatrix;
using F = Lanes::F;

constexpr int kBlock = 32;
constexpr int kPerBlock = kBlock / Lanes::kCount;
// Tokens that one dequantised tile of rows serves before the next: their activations stay in L2.
constexpr int kTokenBlock = 96;

inline int RoundUp(int n, int unit) {
  return (n + unit - 1) / unit * unit;
}

// Block b of a row as floats; beyond `n` values of the block: zeros (unquantised formats only).
template <DType kType>
inline void LoadBlock(const char* row, int b, int n, F* out) {
  if constexpr (kType == DType::kF32) {
    const float* p = reinterpret_cast<const float*>(row) + static_cast<size_t>(b) * kBlock;
    if (n < kBlock) {
      float padded[kBlock] = {};
      for (int i = 0; i < n; ++i) padded[i] = p[i];
      for (int i = 0; i < kPerBlock; ++i) out[i] = Lanes::Load(padded + i * Lanes::kCount);
    } else {
      for (int i = 0; i < kPerBlock; ++i) out[i] = Lanes::Load(p + i * Lanes::kCount);
    }
  } else if constexpr (kType == DType::kF16 || kType == DType::kBF16) {
    const uint16_t* p = reinterpret_cast<const uint16_t*>(row) + static_cast<size_t>(b) * kBlock;
    uint16_t padded[kBlock] = {};
    if (n < kBlock) {
      for (int i = 0; i < n; ++i) padded[i] = p[i];
      p = padded;
    }
    for (int i = 0; i < kPerBlock; ++i)
      out[i] = kType == DType::kF16 ? Lanes::LoadHalf(p + i * Lanes::kCount)
                                    : Lanes::LoadBf16(p + i * Lanes::kCount);
  } else if constexpr (kType == DType::kQ8_0) {
    const BlockQ8_0* block = reinterpret_cast<const BlockQ8_0*>(row) + b;
    const F d = Lanes::Set(Lanes::Half(block->d));
    for (int i = 0; i < kPerBlock; ++i)
      out[i] = Lanes::Mul(Lanes::LoadInt8(block->q + i * Lanes::kCount), d);
  } else if constexpr (kType == DType::kQ4_0) {
    const BlockQ4_0* block = reinterpret_cast<const BlockQ4_0*>(row) + b;
    const float d = Lanes::Half(block->d);
    Lanes::LoadNibbles(block->q, d, -8.0f * d, out);
  } else if constexpr (kType == DType::kQ4_1) {
    const BlockQ4_1* block = reinterpret_cast<const BlockQ4_1*>(row) + b;
    Lanes::LoadNibbles(block->q, Lanes::Half(block->d), Lanes::Half(block->m), out);
  } else {
    SmallBlock block;
    UnpackBlock<kType>(row, b, &block);
    const float d = Lanes::Half(block.d);
    const F offset = Lanes::Set(Lanes::Half(block.m) * static_cast<float>(block.offset));
    for (int i = 0; i < kPerBlock; ++i) {
      const int scale = block.scale[i * Lanes::kCount / 16];
      out[i] = Lanes::Fma(Lanes::LoadInt8(block.q + i * Lanes::kCount),
                          Lanes::Set(d * static_cast<float>(scale)), offset);
    }
  }
}

// kRows rows times one token. x: zero beyond k up to a whole block.
template <DType kType, int kRows>
inline void OneToken(const char* w, size_t row_bytes, const float* x, int k, float* y) {
  constexpr size_t kBlockBytes = kType == DType::kF32    ? sizeof(float) * kBlock
                                 : kType == DType::kQ8_0 ? sizeof(BlockQ8_0)
                                 : kType == DType::kQ4_0 ? sizeof(BlockQ4_0)
                                 : kType == DType::kQ4_1 ? sizeof(BlockQ4_1)
                                 : kType == DType::kQ5_0 ? sizeof(dki::kernels::BlockQ5_0)
                                 : kType == DType::kQ5_1 ? sizeof(dki::kernels::BlockQ5_1)
                                 : kType == DType::kQ4_K ? sizeof(dki::kernels::BlockQ4_K) / 8
                                 : kType == DType::kQ5_K ? sizeof(dki::kernels::BlockQ5_K) / 8
                                 : kType == DType::kQ6_K ? sizeof(dki::kernels::BlockQ6_K) / 8
                                                         : sizeof(uint16_t) * kBlock;
  F sum[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = Lanes::Zero();
  for (int at = 0, b = 0; at < k; at += kBlock, ++b) {
    F xs[kPerBlock];
    for (int i = 0; i < kPerBlock; ++i) xs[i] = Lanes::Load(x + at + i * Lanes::kCount);
    for (int r = 0; r < kRows; ++r) {
      // The same block of the next rows: rows are too short for the CPU's own prefetching.
      __builtin_prefetch(w + (kRows + r) * row_bytes + b * kBlockBytes);
      F ws[kPerBlock];
      LoadBlock<kType>(w + r * row_bytes, b, k - at, ws);
      for (int i = 0; i < kPerBlock; ++i) sum[r] = Lanes::Fma(ws[i], xs[i], sum[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) y[r] = Lanes::Sum(sum[r]);
}

// kRows dequantised rows times kTokens tokens. w: [kRows, k], x: [kTokens, x_stride], k in whole
// blocks; y: [kTokens, y_stride].
template <int kRows, int kTokens>
inline void Tile(const float* w, int k, const float* x, int x_stride, float* y, int y_stride) {
  F sum[kTokens][kRows];
  for (int t = 0; t < kTokens; ++t)
    for (int r = 0; r < kRows; ++r) sum[t][r] = Lanes::Zero();
  for (int at = 0; at < k; at += Lanes::kCount) {
    F ws[kRows];
    for (int r = 0; r < kRows; ++r) ws[r] = Lanes::Load(w + static_cast<size_t>(r) * k + at);
    for (int t = 0; t < kTokens; ++t) {
      const F xs = Lanes::Load(x + static_cast<size_t>(t) * x_stride + at);
      for (int r = 0; r < kRows; ++r) sum[t][r] = Lanes::Fma(ws[r], xs, sum[t][r]);
    }
  }
  for (int t = 0; t < kTokens; ++t)
    for (int r = 0; r < kRows; ++r)
      y[static_cast<size_t>(t) * y_stride + r] = Lanes::Sum(sum[t][r]);
}

// n_tokens <= kTokens tokens: picks the instantiation for the number that is left.
template <int kRows, int kTokens>
inline void TileOf(int n_tokens, const float* w, int k, const float* x, int x_stride, float* y,
                   int y_stride) {
  if constexpr (kTokens > 0) {
    if (n_tokens == kTokens)
      Tile<kRows, kTokens>(w, k, x, x_stride, y, y_stride);
    else
      TileOf<kRows, kTokens - 1>(n_tokens, w, k, x, x_stride, y, y_stride);
  }
}

template <DType kType>
void MatMulOf(const WeightMatrix& w, const float* x, int x_stride, int n_tokens, float* y,
              int row_begin, int row_end, float* scratch) {
  constexpr int kRows = Lanes::kTileRows;
  constexpr int kTokens = Lanes::kTileTokens;
  const size_t row_bytes =
      static_cast<size_t>(w.k) / dki::kernels::BlockValues(kType) * dki::kernels::BlockBytes(kType);
  const char* data = static_cast<const char*>(w.data);
  if (n_tokens == 1) {
    int r = row_begin;
    for (; r + 4 <= row_end; r += 4)
      OneToken<kType, 4>(data + r * row_bytes, row_bytes, x, w.k, y + r);
    for (; r < row_end; ++r) OneToken<kType, 1>(data + r * row_bytes, row_bytes, x, w.k, y + r);
    return;
  }
  const int k = RoundUp(w.k, kBlock);
  for (int t0 = 0; t0 < n_tokens; t0 += kTokenBlock) {
    const int t1 = t0 + kTokenBlock < n_tokens ? t0 + kTokenBlock : n_tokens;
    for (int r0 = row_begin; r0 < row_end; r0 += kMatMulTileRows) {
      const int rows = row_end - r0 < kMatMulTileRows ? row_end - r0 : kMatMulTileRows;
      for (int r = 0; r < rows; ++r) {
        float* out = scratch + static_cast<size_t>(r) * k;
        for (int at = 0, b = 0; at < k; at += kBlock, ++b) {
          F ws[kPerBlock];
          LoadBlock<kType>(data + (r0 + r) * row_bytes, b, w.k - at, ws);
          for (int i = 0; i < kPerBlock; ++i) Lanes::Store(out + at + i * Lanes::kCount, ws[i]);
        }
      }
      for (int t = t0; t < t1; t += kTokens) {
        const int tokens = t1 - t < kTokens ? t1 - t : kTokens;
        const float* xt = x + static_cast<size_t>(t) * x_stride;
        float* yt = y + static_cast<size_t>(t) * w.n_out + r0;
        int r = 0;
        for (; r + kRows <= rows; r += kRows)
          TileOf<kRows, kTokens>(tokens, scratch + static_cast<size_t>(r) * k, k, xt, x_stride,
                                 yt + r, w.n_out);
        for (; r < rows; ++r)
          TileOf<1, kTokens>(tokens, scratch + static_cast<size_t>(r) * k, k, xt, x_stride, yt + r,
                             w.n_out);
      }
    }
  }
}

void MatMulAny(const WeightMatrix& w, const float* x, int x_stride, int n_tokens, float* y,
               int row_begin, int row_end, float* scratch) {
  switch (w.dtype) {
    case DType::kF32:
      return MatMulOf<DType::kF32>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kF16:
      return MatMulOf<DType::kF16>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kBF16:
      return MatMulOf<DType::kBF16>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kQ8_0:
      return MatMulOf<DType::kQ8_0>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kQ4_0:
      return MatMulOf<DType::kQ4_0>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kQ4_1:
      return MatMulOf<DType::kQ4_1>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kQ5_0:
      return MatMulOf<DType::kQ5_0>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kQ5_1:
      return MatMulOf<DType::kQ5_1>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kQ4_K:
      return MatMulOf<DType::kQ4_K>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kQ5_K:
      return MatMulOf<DType::kQ5_K>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
    case DType::kQ6_K:
      return MatMulOf<DType::kQ6_K>(w, x, x_stride, n_tokens, y, row_begin, row_end, scratch);
  }
}

}  // namespace
