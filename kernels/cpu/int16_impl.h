// SPDX-License-Identifier: Apache-2.0
// Products of 16-bit activations with packed weights (packed_matrix.h), lanes = rows of W; included
// once by the file of each instruction set after its IntLanes.
//
// Each lane sums one output element alone: a vector of pairs (k, k + 1) of all rows is multiplied
// by a token's pair, broadcast. Few tokens take the weights straight from the packed stream, which
// is then bound by memory; for many, tiles are unpacked to 16-bit pairs once, and the products of
// kVecs vectors of rows and kTileTokens tokens stay in registers.
#pragma once

#include <string.h>

#include "kernels/cpu/int16_kernels.h"

namespace {

using dki::kernels::DType;
using dki::kernels::Int16View;
using dki::kernels::kQuantBlock;
using dki::kernels::kUnpackedBlockBytes;
using dki::kernels::kUnpackedTiles;
using dki::kernels::WeightMatrix;
using I = IntLanes::I;
using F = IntLanes::F;

constexpr int kTileRows = 16;
constexpr int kLanes = IntLanes::kCount;
constexpr int kVecsOfTile = kTileRows / kLanes;
constexpr int kFewTokens = IntLanes::kFewTokens;
constexpr int kTileTokens = IntLanes::kTileTokens;
constexpr int kVecs = 2;
// Tokens that an unpacked tile serves before the next: their activations stay in L2.
constexpr int kTokenBlock = 264;

constexpr size_t kHalfBytes = 2 * kTileRows;
constexpr size_t kUnpackedD = 16 * 64, kUnpackedM = kUnpackedD + 64;

template <DType kType>
struct Format {
  static constexpr bool kNibbles = kType == DType::kQ4_0 || kType == DType::kQ4_1;
  static constexpr bool kBytes = kType == DType::kQ8_0;   // else nibbles or 16-bit values
  static constexpr bool kHasMin = kType == DType::kQ4_1;  // Q4_0's is what is taken off
  static constexpr bool kFloatD = !kNibbles && !kBytes;
  static constexpr size_t kQ = kHasMin || kFloatD ? 2 * kHalfBytes : kHalfBytes;
  static constexpr size_t kBlockBytes = kQ + (kNibbles ? 256 : kBytes ? 512 : 1024);
};

#define DKI_INLINE __attribute__((always_inline)) inline

// Calls body(k, pairs) for the 16 vectors of pairs (k, k + 1) of the rows at lane vector `vec`.
template <DType kType, typename Body>
DKI_INLINE void ForPairs(const uint8_t* block, int vec, const Body& body) {
  const uint8_t* q = block + Format<kType>::kQ;
  if constexpr (Format<kType>::kNibbles) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const I words = IntLanes::Load(q + 64 * v + 4 * kLanes * vec);
      body(8 * v, IntLanes::Nibbles<0>(words));
      body(8 * v + 2, IntLanes::Nibbles<1>(words));
      body(8 * v + 4, IntLanes::Nibbles<2>(words));
      body(8 * v + 6, IntLanes::Nibbles<3>(words));
    }
  } else if constexpr (Format<kType>::kBytes) {
#pragma GCC unroll 16
    for (int p = 0; p < 16; ++p) body(2 * p, IntLanes::LoadInt8(q + 32 * p + 2 * kLanes * vec));
  } else {
#pragma GCC unroll 16
    for (int p = 0; p < 16; ++p) body(2 * p, IntLanes::Load(q + 64 * p + 4 * kLanes * vec));
  }
}

template <DType kType>
DKI_INLINE F LoadD(const uint8_t* block, int vec) {
  if constexpr (Format<kType>::kFloatD)
    return IntLanes::LoadFloat((const float*)(block + 4 * kLanes * vec));
  else
    return IntLanes::LoadHalf(block + 2 * kLanes * vec);
}
// The minimum of Q4_1, and the 8 that was taken off its values.
DKI_INLINE F LoadM(const uint8_t* block, int vec, F d) {
  const F m = IntLanes::LoadHalf(block + kHalfBytes + 2 * kLanes * vec);
  return IntLanes::Fma(d, IntLanes::SetFloat(8.0f), m);
}

DKI_INLINE I Pair(const int16_t* x) {
  int32_t two;
  memcpy(&two, x, sizeof(two));
  return IntLanes::Set(two);
}

// One tile times kTokens tokens. x: of the first of the tokens.
template <DType kType, int kTokens>
inline void Few(const uint8_t* tile, int n_blocks, const Int16View& x, float (*sums)[kTileRows]) {
  const size_t k = static_cast<size_t>(n_blocks) * kQuantBlock;
  for (int vec = 0; vec < kVecsOfTile; ++vec) {
    F total[kTokens];
    for (int t = 0; t < kTokens; ++t) total[t] = IntLanes::ZeroFloat();
    const uint8_t* block = tile;
    for (int b = 0; b < n_blocks; ++b, block += Format<kType>::kBlockBytes) {
      I dot[kTokens];
      for (int t = 0; t < kTokens; ++t) dot[t] = IntLanes::Zero();
      const int16_t* q = x.q + static_cast<size_t>(b) * kQuantBlock;
      ForPairs<kType>(
          block, vec, [&](int at, I pairs) __attribute__((always_inline)) {
#pragma GCC unroll 8
            for (int t = 0; t < kTokens; ++t)
              dot[t] = IntLanes::Dot(dot[t], pairs, Pair(q + t * k + at));
          });
      const F d = LoadD<kType>(block, vec);
      F m;
      if constexpr (Format<kType>::kHasMin) m = LoadM(block, vec, d);
      for (int t = 0; t < kTokens; ++t) {
        const size_t at = static_cast<size_t>(t) * n_blocks + b;
        const F scale = IntLanes::Mul(d, IntLanes::SetFloat(x.d[at]));
        total[t] = IntLanes::Fma(IntLanes::ToFloat(dot[t]), scale, total[t]);
        if constexpr (Format<kType>::kHasMin)
          total[t] = IntLanes::Fma(m, IntLanes::SetFloat(x.sum[at]), total[t]);
      }
    }
    for (int t = 0; t < kTokens; ++t) IntLanes::StoreFloat(sums[t] + kLanes * vec, total[t]);
  }
}

// A tile as 16-bit pairs and floats: [block]{ int16 [16 pairs][16 rows][2]; float d[16], m[16] }.
template <DType kType>
inline void Unpack(const uint8_t* tile, int n_blocks, char* out) {
  for (int b = 0; b < n_blocks;
       ++b, tile += Format<kType>::kBlockBytes, out += kUnpackedBlockBytes) {
    for (int vec = 0; vec < kVecsOfTile; ++vec) {
      char* to = out + 4 * kLanes * vec;
      ForPairs<kType>(
          tile, vec, [&](int at, I pairs) __attribute__((always_inline)) {
            IntLanes::Store(to + 32 * at, pairs);
          });
      const F d = LoadD<kType>(tile, vec);
      IntLanes::StoreFloat((float*)(to + kUnpackedD), d);
      if constexpr (Format<kType>::kHasMin)
        IntLanes::StoreFloat((float*)(to + kUnpackedM), LoadM(tile, vec, d));
    }
  }
}

// kVectors vectors of unpacked rows, `stride` bytes apart, times kTokens tokens.
template <bool kHasMin, int kVectors, int kTokens>
inline void Many(const char* rows, size_t stride, int n_blocks, const Int16View& x,
                 float (*sums)[kVecs * kLanes]) {
  const size_t k = static_cast<size_t>(n_blocks) * kQuantBlock;
  F total[kTokens][kVectors];
  for (int t = 0; t < kTokens; ++t)
    for (int v = 0; v < kVectors; ++v) total[t][v] = IntLanes::ZeroFloat();
  const int16_t* q = x.q;
  for (int b = 0; b < n_blocks; ++b, rows += kUnpackedBlockBytes, q += kQuantBlock) {
    I dot[kTokens][kVectors];
    for (int t = 0; t < kTokens; ++t)
      for (int v = 0; v < kVectors; ++v) dot[t][v] = IntLanes::Zero();
#pragma GCC unroll 4
    for (int p = 0; p < 16; ++p) {
      I w[kVectors];
      for (int v = 0; v < kVectors; ++v) w[v] = IntLanes::Load(rows + v * stride + 64 * p);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const I pair = Pair(q + t * k + 2 * p);
        for (int v = 0; v < kVectors; ++v) dot[t][v] = IntLanes::Dot(dot[t][v], w[v], pair);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const F d = IntLanes::LoadFloat((const float*)(rows + v * stride + kUnpackedD));
      F m;
      if constexpr (kHasMin)
        m = IntLanes::LoadFloat((const float*)(rows + v * stride + kUnpackedM));
      for (int t = 0; t < kTokens; ++t) {
        const size_t at = static_cast<size_t>(t) * n_blocks + b;
        const F scale = IntLanes::Mul(d, IntLanes::SetFloat(x.d[at]));
        total[t][v] = IntLanes::Fma(IntLanes::ToFloat(dot[t][v]), scale, total[t][v]);
        if constexpr (kHasMin)
          total[t][v] = IntLanes::Fma(m, IntLanes::SetFloat(x.sum[at]), total[t][v]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t)
    for (int v = 0; v < kVectors; ++v) IntLanes::StoreFloat(sums[t] + v * kLanes, total[t][v]);
}

template <DType kType, int kTokens>
inline void FewOf(int n_tokens, const uint8_t* tile, int n_blocks, const Int16View& x,
                  float (*sums)[kTileRows]) {
  if constexpr (kTokens > 0) {
    if (n_tokens == kTokens)
      Few<kType, kTokens>(tile, n_blocks, x, sums);
    else
      FewOf<kType, kTokens - 1>(n_tokens, tile, n_blocks, x, sums);
  }
}

template <bool kHasMin, int kVectors, int kTokens>
inline void ManyOf(int n_tokens, const char* rows, size_t stride, int n_blocks, const Int16View& x,
                   float (*sums)[kVecs * kLanes]) {
  if constexpr (kTokens > 0) {
    if (n_tokens == kTokens)
      Many<kHasMin, kVectors, kTokens>(rows, stride, n_blocks, x, sums);
    else
      ManyOf<kHasMin, kVectors, kTokens - 1>(n_tokens, rows, stride, n_blocks, x, sums);
  }
}

inline Int16View From(const Int16View& x, int token, int n_blocks) {
  const size_t first = static_cast<size_t>(token) * n_blocks;
  return {x.q + first * kQuantBlock, x.d + first, x.sum + first};
}

inline void Copy(const float* from, int n, float* to) {
  for (int i = 0; i < n; ++i) to[i] = from[i];
}

template <DType kType>
void FewTokens(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y, int row_begin,
               int row_end) {
  const int n_blocks = w.k / kQuantBlock;
  const size_t tile_bytes = n_blocks * Format<kType>::kBlockBytes;
  alignas(64) float sums[kFewTokens][kTileRows];
  for (int r0 = row_begin; r0 < row_end; r0 += kTileRows) {
    const int rows = row_end - r0 < kTileRows ? row_end - r0 : kTileRows;
    FewOf<kType, kFewTokens>(n_tokens, w.packed + r0 / kTileRows * tile_bytes, n_blocks, x, sums);
    for (int t = 0; t < n_tokens; ++t)
      Copy(sums[t], rows, y + static_cast<size_t>(t) * w.n_out + r0);
  }
}

// The tokens [t0, t1) times `rows` unpacked rows.
template <bool kHasMin, int kVectors>
inline void ManyTokens(const char* unpacked, size_t stride, int rows, int n_blocks,
                       const Int16View& x, int t0, int t1, int n_out, float* y) {
  alignas(64) float sums[kTileTokens][kVecs * kLanes];
  for (int t = t0; t < t1; t += kTileTokens) {
    const int tokens = t1 - t < kTileTokens ? t1 - t : kTileTokens;
    ManyOf<kHasMin, kVectors, kTileTokens>(tokens, unpacked, stride, n_blocks, From(x, t, n_blocks),
                                           sums);
    for (int i = 0; i < tokens; ++i) Copy(sums[i], rows, y + static_cast<size_t>(t + i) * n_out);
  }
}

template <DType kType>
void MatMulInt16Of(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y, int row_begin,
                   int row_end, char* scratch) {
  if (n_tokens <= kFewTokens) return FewTokens<kType>(w, x, n_tokens, y, row_begin, row_end);
  constexpr bool kHasMin = Format<kType>::kHasMin;
  constexpr int kRows = kVecs * kLanes;  // of one pass
  const int n_blocks = w.k / kQuantBlock;
  const size_t tile_bytes = n_blocks * Format<kType>::kBlockBytes;
  const size_t unpacked_bytes = n_blocks * kUnpackedBlockBytes;
  const size_t stride = kLanes == kTileRows ? unpacked_bytes : 4 * kLanes;
  for (int t0 = 0; t0 < n_tokens; t0 += kTokenBlock) {
    const int t1 = t0 + kTokenBlock < n_tokens ? t0 + kTokenBlock : n_tokens;
    for (int r0 = row_begin; r0 < row_end; r0 += kRows) {
      const int rows = row_end - r0 < kRows ? row_end - r0 : kRows;
      for (int r = 0; r < rows; r += kTileRows)
        Unpack<kType>(w.packed + (r0 + r) / kTileRows * tile_bytes, n_blocks,
                      scratch + r / kTileRows * unpacked_bytes);
      if (rows > kLanes)
        ManyTokens<kHasMin, kVecs>(scratch, stride, rows, n_blocks, x, t0, t1, w.n_out, y + r0);
      else
        ManyTokens<kHasMin, 1>(scratch, stride, rows, n_blocks, x, t0, t1, w.n_out, y + r0);
    }
  }
}

void MatMulInt16Any(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y,
                    int row_begin, int row_end, char* scratch) {
  if (w.dtype == DType::kQ8_0)
    MatMulInt16Of<DType::kQ8_0>(w, x, n_tokens, y, row_begin, row_end, scratch);
  else if (w.dtype == DType::kQ4_0)
    MatMulInt16Of<DType::kQ4_0>(w, x, n_tokens, y, row_begin, row_end, scratch);
  else if (w.dtype == DType::kQ4_1)
    MatMulInt16Of<DType::kQ4_1>(w, x, n_tokens, y, row_begin, row_end, scratch);
  else
    MatMulInt16Of<DType::kF16>(w, x, n_tokens, y, row_begin, row_end, scratch);
}

void QuantizeBlocks(const float* x, size_t begin, size_t end, int16_t* q, float* d, float* sum) {
  constexpr int kParts = kQuantBlock / kLanes;
  for (size_t b = begin; b < end; ++b) {
    F xs[kParts];
    for (int i = 0; i < kParts; ++i) xs[i] = IntLanes::LoadFloat(x + b * kQuantBlock + i * kLanes);
    F magnitude = IntLanes::Abs(xs[0]);
    for (int i = 1; i < kParts; ++i) magnitude = IntLanes::Max(magnitude, IntLanes::Abs(xs[i]));
    const float largest = IntLanes::MaxOf(magnitude);
    const bool some = largest > dki::kernels::kSmallestActivation;
    const F inverse = IntLanes::SetFloat(some ? 32767.0f / largest : 0.0f);
    for (int i = 0; i < kParts; ++i) {
      const I rounded = IntLanes::Round(IntLanes::Mul(xs[i], inverse));
      IntLanes::StoreInt16(q + b * kQuantBlock + i * kLanes, rounded);
    }
    d[b] = some ? largest / 32767.0f : 0.0f;
    for (int half = kParts / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) xs[i] = IntLanes::Add(xs[i], xs[i + half]);
    sum[b] = some ? IntLanes::Sum(xs[0]) : 0.0f;
  }
}

}  // namespace
