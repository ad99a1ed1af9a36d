// SPDX-License-Identifier: Apache-2.0
// What attention and the K/V codec need besides Lanes, on AVX2; see kv_lanes_plain.h.
#pragma once

#include "kernels/cpu/lanes_avx2.h"

namespace {

struct KvLanes {
  static constexpr int kQueries = 6;  // 12 sums of the 16 registers
  static constexpr int kVectors = 2;

  static inline void StoreHalf(void* p, Lanes::F a) {
    _mm_storeu_si128(static_cast<__m128i*>(p),
                     _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static inline Lanes::F LoadInt(const int32_t* p) {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static inline Lanes::F LoadField(const uint8_t* words, int shift, int mask) {
    const __m256i word = _mm256_srl_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)), _mm_cvtsi32_si128(shift));
    return _mm256_cvtepi32_ps(_mm256_and_si256(word, _mm256_set1_epi32(mask)));
  }
  [[gnu::always_inline]] static inline void Transpose(Lanes::F* r) {
    __m256 t[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {  // rows i..i+3, four columns of each half
      const __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]);
      const __m256 b = _mm256_unpackhi_ps(r[i], r[i + 1]);
      const __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
      const __m256 d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = _mm256_shuffle_ps(a, c, 0x44);
      t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
      t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
      t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // column i of each half
      r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
  }
};

}  // namespace
