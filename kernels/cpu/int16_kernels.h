// SPDX-License-Identifier: Apache-2.0
// Products with 16-bit activations. These kernels differ by the instruction that multiplies pairs,
// not by float width: VNNI's on AVX-512, or multiply-add and add on AVX-512 and AVX2.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace dki::kernels {

// Raw view of QuantizedActivations.
struct Int16View {
  const int16_t* q;
  const float* d;
  const float* sum;
};

// A block whose largest activation is not above it counts as zeros: its scale has no inverse.
inline constexpr float kSmallestActivation = 1e-30f;

// Bytes of a tile of 16 rows unpacked for many tokens, per block of 32.
inline constexpr size_t kUnpackedBlockBytes = 16 * 64 + 2 * 64;
// Tiles that are unpacked together.
inline constexpr int kUnpackedTiles = 2;

#define DKI_DECLARE_INT16_KERNELS(path)                                                           \
  namespace path {                                                                                \
  /* scratch: [kUnpackedTiles, k / 32, kUnpackedBlockBytes], 64-byte aligned. */                  \
  void MatMulInt16(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y,             \
                   int row_begin, int row_end, uint8_t* scratch);                                 \
  /* The blocks [begin, end) of x. */                                                             \
  void QuantizeInt16(const float* x, size_t begin, size_t end, int16_t* q, float* d, float* sum); \
  }
DKI_DECLARE_INT16_KERNELS(int16_avx2)
DKI_DECLARE_INT16_KERNELS(int16_avx512)
DKI_DECLARE_INT16_KERNELS(int16_vnni)
#undef DKI_DECLARE_INT16_KERNELS

}  // namespace dki::kernels
