// SPDX-License-Identifier: Apache-2.0
// Sixteen rows in AVX-512 registers. Dot comes from the including file: with VNNI or without.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace {

struct Int16Lanes512 {
  static constexpr int kCount = 16;
  static constexpr int kTileTokens = 8;  // times two vectors of rows
  static constexpr int kFewTokens = 24;  // that do not pay for unpacking
  using I = __m512i;
  using F = __m512;

  static inline I Zero() { return _mm512_setzero_si512(); }
  static inline I Set(int32_t x) { return _mm512_set1_epi32(x); }
  static inline I Load(const void* p) { return _mm512_loadu_si512(p); }
  static inline void Store(void* p, I v) { _mm512_storeu_si512(p, v); }
  static inline I LoadInt8(const uint8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p));
  }
  // Nibble p of each 16-bit word, with its sign.
  template <int p>
  static inline I Nibbles(I words) {
    const I top = p == 3 ? words : _mm512_slli_epi16(words, 12 - 4 * p);
    return _mm512_srai_epi16(top, 12);
  }
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
  static inline F Add(F a, F b) { return _mm512_add_ps(a, b); }
  // In halves: lane i adds lane i + 8, then i + 4, ...
  static inline float Sum(F v) {
    const __m256 low = _mm512_castps512_ps256(v);
    const __m256 eight = _mm256_add_ps(low, _mm512_extractf32x8_ps(v, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  static inline F Abs(F v) { return _mm512_abs_ps(v); }
  static inline F Max(F a, F b) { return _mm512_max_ps(a, b); }
  static inline float MaxOf(F v) { return _mm512_reduce_max_ps(v); }
};

}  // namespace
