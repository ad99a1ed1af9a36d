// SPDX-License-Identifier: Apache-2.0
// Sixteen rows in AVX-512 registers. Dot comes from the including file: with VNNI or without.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace {

struct Int16Lanes512 {
  static constexpr int kCount = 16;
  static constexpr int kFewTokens = 8;
  static constexpr int kTileTokens = 6;  // times two vectors of rows, an integer and a float each
  using I = __m512i;
  using F = __m512;

  static inline I Zero() { return _mm512_setzero_si512(); }
  static inline I Set(int32_t x) { return _mm512_set1_epi32(x); }
  static inline I Load(const void* p) { return _mm512_loadu_si512(p); }
  static inline void Store(void* p, I v) { _mm512_storeu_si512(p, v); }
  static inline I LoadInt8(const uint8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p));
  }
  // Nibble p of each 16-bit word.
  template <int p>
  static inline I Nibbles(I words) {
    const I shifted = p == 0 ? words : _mm512_srli_epi16(words, 4 * p);
    return p == 3 ? shifted : _mm512_and_si512(shifted, _mm512_set1_epi16(15));
  }
  static inline I Add(I a, I b) { return _mm512_add_epi32(a, b); }
  static inline int32_t Sum(I v) { return _mm512_reduce_add_epi32(v); }
  static inline I Round(F v) { return _mm512_cvtps_epi32(v); }  // to nearest even
  static inline void StoreInt16(int16_t* p, I v) {
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtsepi32_epi16(v));
  }

  static inline F ZeroFloat() { return _mm512_setzero_ps(); }
  static inline F SetFloat(float x) { return _mm512_set1_ps(x); }
  static inline F LoadFloat(const float* p) { return _mm512_loadu_ps(p); }
  static inline void StoreFloat(float* p, F v) { _mm512_storeu_ps(p, v); }
  static inline F LoadHalf(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
  }
  static inline F ToFloat(I v) { return _mm512_cvtepi32_ps(v); }
  static inline F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static inline F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static inline F Abs(F v) { return _mm512_abs_ps(v); }
  static inline F Max(F a, F b) { return _mm512_max_ps(a, b); }
  static inline float MaxOf(F v) { return _mm512_reduce_max_ps(v); }
};

}  // namespace
