// SPDX-License-Identifier: Apache-2.0
// Products of 16-bit activations with packed weights (packed_matrix.h), lanes = rows of W; included
// once by the file of each instruction set after its IntLanes.
//
// Each lane sums one output element alone: a vector of pairs (k, k + 1) of all rows is multiplied
// by a token's pair, broadcast. The products of kVecs vectors of rows and up to kTileTokens tokens
// stay in registers. Few tokens take the weights straight from the packed stream; for many, tiles
// are unpacked to 16-bit pairs once.
#pragma once

#include <string.h>

#include "kernels/cpu/int16_kernels.h"

namespace {

using dki::kernels::DType;
using dki::kernels::Int16View;
using dki::kernels::kQuantBlock;
using dki::kernels::kUnpackedBlockBytes;
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

#define DKI_LAMBDA __attribute__((always_inline))

#define DKI_INLINE __attribute__((always_inline)) inline

// The kinds of tiles. Of the lane vector `vec` of a block, kBytes long:
//   Words, Pairs  one load, and the kPairsOfWords vectors of pairs (k, k + 1) of all rows in it
//   D, M          the factors of the dot product and of the activations' sum

// As in packed_matrix.h.
template <DType kType>
struct Packed {
  static constexpr bool kNibbles = kType == DType::kQ4_0 || kType == DType::kQ4_1;
  static constexpr bool kInt8 = kType == DType::kQ8_0;    // else nibbles or 16-bit values
  static constexpr bool kHasMin = kType == DType::kQ4_1;  // Q4_0's is what is taken off
  static constexpr bool kFloatD = !kNibbles && !kInt8;
  static constexpr size_t kQ = kHasMin || kFloatD ? 2 * kHalfBytes : kHalfBytes;
  static constexpr size_t kBytes = kQ + (kNibbles ? 256 : kInt8 ? 512 : 1024);
  static constexpr int kPairsOfWords = kNibbles ? 4 : 1;

  static DKI_INLINE I Words(const uint8_t* block, int vec, int i) {
    if constexpr (kInt8)
      return IntLanes::LoadInt8(block + kQ + 32 * i + 2 * kLanes * vec);
    else
      return IntLanes::Load(block + kQ + 64 * i + 4 * kLanes * vec);
  }
  template <int kPair>
  static DKI_INLINE I Pairs(I words) {
    if constexpr (kNibbles)
      return IntLanes::Nibbles<kPair>(words);
    else
      return words;
  }
  static DKI_INLINE F D(const uint8_t* block, int vec) {
    if constexpr (kFloatD)
      return IntLanes::LoadFloat((const float*)(block + 4 * kLanes * vec));
    else
      return IntLanes::LoadHalf(block + 2 * kLanes * vec);
  }
  // The minimum of Q4_1, and the 8 that was taken off its values.
  static DKI_INLINE F M(const uint8_t* block, int vec, F d) {
    const F m = IntLanes::LoadHalf(block + kHalfBytes + 2 * kLanes * vec);
    return IntLanes::Fma(d, IntLanes::SetFloat(8.0f), m);
  }
};

// int16 [16 pairs][16 rows][2]; float d[16], m[16].
template <bool kMin>
struct Unpacked {
  static constexpr bool kHasMin = kMin;
  static constexpr size_t kBytes = kUnpackedBlockBytes;
  static constexpr int kPairsOfWords = 1;
  static constexpr size_t kD = 16 * 64, kM = kD + 64;

  static DKI_INLINE I Words(const uint8_t* block, int vec, int i) {
    return IntLanes::Load(block + 64 * i + 4 * kLanes * vec);
  }
  template <int kPair>
  static DKI_INLINE I Pairs(I words) {
    return words;
  }
  static DKI_INLINE F D(const uint8_t* block, int vec) {
    return IntLanes::LoadFloat((const float*)(block + kD) + kLanes * vec);
  }
  static DKI_INLINE F M(const uint8_t* block, int vec, F) {
    return IntLanes::LoadFloat((const float*)(block + kM) + kLanes * vec);
  }
};

// Calls body(k, pairs) for the vectors of pairs in a load: [kVectors] at a time.
template <typename Tile, int kVectors, int kPair, typename Body>
DKI_INLINE void ForPairsOf(const I (&words)[kVectors], int k, const Body& body) {
  if constexpr (kPair < Tile::kPairsOfWords) {
    I pairs[kVectors];
    for (int v = 0; v < kVectors; ++v) pairs[v] = Tile::template Pairs<kPair>(words[v]);
    body(k, pairs);
    ForPairsOf<Tile, kVectors, kPair + 1>(words, k + 2, body);
  }
}

DKI_INLINE I Pair(const int16_t* x) {
  int32_t two;
  memcpy(&two, x, sizeof(two));
  return IntLanes::Set(two);
}

// kVectors vectors of rows, of tiles that lie `tile_bytes` apart, times kTokens tokens; x: of the
// first of them. The products stay in registers, the sums of the blocks in the cache: a broadcast
// activation serves all vectors, and a vector all tokens.
template <typename Tile, int kVectors, int kTokens>
inline void Multiply(const uint8_t* tiles, size_t tile_bytes, int n_blocks, const Int16View& x,
                     float (*sums)[kVecs * kLanes]) {
  const size_t k = static_cast<size_t>(n_blocks) * kQuantBlock;
  for (int t = 0; t < kTokens; ++t)
    for (int v = 0; v < kVectors; ++v)
      IntLanes::StoreFloat(sums[t] + v * kLanes, IntLanes::ZeroFloat());
  const int16_t* q = x.q;
  for (int b = 0; b < n_blocks; ++b, tiles += Tile::kBytes, q += kQuantBlock) {
    const auto block = [&](int v) DKI_LAMBDA { return tiles + v / kVecsOfTile * tile_bytes; };
    I dot[kTokens][kVectors];
    for (int t = 0; t < kTokens; ++t)
      for (int v = 0; v < kVectors; ++v) dot[t][v] = IntLanes::Zero();
#pragma GCC unroll 16
    for (int i = 0; i < 16 / Tile::kPairsOfWords; ++i) {
      I words[kVectors];
      for (int v = 0; v < kVectors; ++v) words[v] = Tile::Words(block(v), v % kVecsOfTile, i);
      ForPairsOf<Tile, kVectors, 0>(words, 2 * Tile::kPairsOfWords * i,
                                    [&](int at, const I(&pairs)[kVectors]) DKI_LAMBDA {
#pragma GCC unroll 16
                                      for (int t = 0; t < kTokens; ++t) {
                                        const I pair = Pair(q + t * k + at);
                                        for (int v = 0; v < kVectors; ++v)
                                          dot[t][v] = IntLanes::Dot(dot[t][v], pairs[v], pair);
                                      }
                                    });
    }
    F d[kVectors], m[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      d[v] = Tile::D(block(v), v % kVecsOfTile);
      if constexpr (Tile::kHasMin) m[v] = Tile::M(block(v), v % kVecsOfTile, d[v]);
    }
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      const size_t at = static_cast<size_t>(t) * n_blocks + b;
      for (int v = 0; v < kVectors; ++v) {
        F total = IntLanes::LoadFloat(sums[t] + v * kLanes);
        const F scale = IntLanes::Mul(d[v], IntLanes::SetFloat(x.d[at]));
        total = IntLanes::Fma(IntLanes::ToFloat(dot[t][v]), scale, total);
        if constexpr (Tile::kHasMin)
          total = IntLanes::Fma(m[v], IntLanes::SetFloat(x.sum[at]), total);
        IntLanes::StoreFloat(sums[t] + v * kLanes, total);
      }
    }
  }
}

template <typename Tile, int kVectors, int kTokens>
inline void MultiplyOf(int n_tokens, const uint8_t* tiles, size_t tile_bytes, int n_blocks,
                       const Int16View& x, float (*sums)[kVecs * kLanes]) {
  if constexpr (kTokens > 0) {
    if (n_tokens == kTokens)
      Multiply<Tile, kVectors, kTokens>(tiles, tile_bytes, n_blocks, x, sums);
    else
      MultiplyOf<Tile, kVectors, kTokens - 1>(n_tokens, tiles, tile_bytes, n_blocks, x, sums);
  }
}

// The tokens [t0, t1) times `rows` rows, in groups, which read the tiles again from the cache.
// y: of the first row.
template <typename Tile, int kVectors>
inline void MultiplyTokens(const uint8_t* tiles, size_t tile_bytes, int rows, int n_blocks,
                           const Int16View& x, int t0, int t1, int n_out, float* y) {
  alignas(64) float sums[kTileTokens][kVecs * kLanes];
  for (int t = t0; t < t1; t += kTileTokens) {
    const int tokens = t1 - t < kTileTokens ? t1 - t : kTileTokens;
    const size_t first = static_cast<size_t>(t) * n_blocks;
    MultiplyOf<Tile, kVectors, kTileTokens>(tokens, tiles, tile_bytes, n_blocks,
                                            {x.q + first * kQuantBlock, x.d + first, x.sum + first},
                                            sums);
    for (int i = 0; i < tokens; ++i)
      for (int r = 0; r < rows; ++r) y[static_cast<size_t>(t + i) * n_out + r] = sums[i][r];
  }
}

// A tile, in the kind Unpacked.
template <DType kType>
inline void Unpack(const uint8_t* tile, int n_blocks, uint8_t* out) {
  using Tile = Packed<kType>;
  using To = Unpacked<Tile::kHasMin>;
  for (int b = 0; b < n_blocks; ++b, tile += Tile::kBytes, out += To::kBytes) {
    for (int vec = 0; vec < kVecsOfTile; ++vec) {
      uint8_t* to = out + 4 * kLanes * vec;
#pragma GCC unroll 16
      for (int i = 0; i < 16 / Tile::kPairsOfWords; ++i) {
        const I words[1] = {Tile::Words(tile, vec, i)};
        ForPairsOf<Tile, 1, 0>(words, 2 * Tile::kPairsOfWords * i,
                               [&](int k, const I(&pairs)[1])
                                   DKI_LAMBDA { IntLanes::Store(to + 32 * k, pairs[0]); });
      }
      const F d = Tile::D(tile, vec);
      IntLanes::StoreFloat((float*)(to + To::kD), d);
      if constexpr (Tile::kHasMin)
        IntLanes::StoreFloat((float*)(to + To::kM), Tile::M(tile, vec, d));
    }
  }
}

template <DType kType>
void MatMulInt16Of(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y, int row_begin,
                   int row_end, uint8_t* scratch) {
  using Few = Packed<kType>;
  using Many = Unpacked<Few::kHasMin>;
  constexpr int kRows = kVecs * kLanes;  // of one pass
  const int n_blocks = w.k / kQuantBlock;
  const size_t packed_bytes = n_blocks * Few::kBytes;
  const size_t unpacked_bytes = n_blocks * Many::kBytes;
  for (int t0 = 0; t0 < n_tokens; t0 += kTokenBlock) {
    const int t1 = t0 + kTokenBlock < n_tokens ? t0 + kTokenBlock : n_tokens;
    for (int r0 = row_begin; r0 < row_end; r0 += kRows) {
      const int rows = row_end - r0 < kRows ? row_end - r0 : kRows;
      const bool whole = rows > kTileRows || kVecsOfTile == kVecs;
      const uint8_t* packed = w.packed + r0 / kTileRows * packed_bytes;
      if (n_tokens <= kFewTokens) {
        if (whole)
          MultiplyTokens<Few, kVecs>(packed, packed_bytes, rows, n_blocks, x, t0, t1, w.n_out,
                                     y + r0);
        else
          MultiplyTokens<Few, kVecsOfTile>(packed, packed_bytes, rows, n_blocks, x, t0, t1, w.n_out,
                                           y + r0);
        continue;
      }
      for (int r = 0; r < rows; r += kTileRows)
        Unpack<kType>(packed + r / kTileRows * packed_bytes, n_blocks,
                      scratch + r / kTileRows * unpacked_bytes);
      if (whole)
        MultiplyTokens<Many, kVecs>(scratch, unpacked_bytes, rows, n_blocks, x, t0, t1, w.n_out,
                                    y + r0);
      else
        MultiplyTokens<Many, kVecsOfTile>(scratch, unpacked_bytes, rows, n_blocks, x, t0, t1,
                                          w.n_out, y + r0);
    }
  }
}

void MatMulInt16Any(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y,
                    int row_begin, int row_end, uint8_t* scratch) {
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
