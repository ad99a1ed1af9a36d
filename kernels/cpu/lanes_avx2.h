// SPDX-License-Identifier: Apache-2.0
// Eight floats in an AVX register; see lanes_plain.h for the interface.
#pragma once

#include <immintrin.h>

#include "kernels/dtype.h"

namespace {

struct Lanes {
  static constexpr int kCount = 8;
  static constexpr int kTileRows = 2;
  static constexpr int kTileTokens = 4;
  using F = __m256;

  static inline F Zero() { return _mm256_setzero_ps(); }
  static inline F Set(float x) { return _mm256_set1_ps(x); }
  static inline F Load(const float* p) { return _mm256_loadu_ps(p); }
  static inline F LoadFirst(const float* p, int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
  }
  static inline void Store(float* p, F a) { _mm256_storeu_ps(p, a); }
  static inline F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static inline F Sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static inline F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static inline F Div(F a, F b) { return _mm256_div_ps(a, b); }
  static inline F Max(F a, F b) { return _mm256_max_ps(a, b); }
  static inline F Min(F a, F b) { return _mm256_min_ps(a, b); }
  static inline F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static inline F Round(F a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static inline F ScaleByPowerOf2(F x, F n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }
  static inline float Sum(F a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static inline float MaxOf(F a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
  }

  static inline F LoadHalf(const void* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static inline F LoadBf16(const void* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static inline F LoadInt8(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
  }
  static inline void LoadNibbles(const uint8_t* q, float scale, float offset, F* out) {
    const __m128i bytes = _mm_loadu_si128((const __m128i*)q);
    const __m128i mask = _mm_set1_epi8(15);
    const __m128i low = _mm_and_si128(bytes, mask);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
    const F s = Set(scale);
    const F o = Set(offset);
    out[0] = Fma(Widen(low), s, o);
    out[1] = Fma(Widen(_mm_srli_si128(low, 8)), s, o);
    out[2] = Fma(Widen(high), s, o);
    out[3] = Fma(Widen(_mm_srli_si128(high, 8)), s, o);
  }
  static inline float Half(uint16_t h) { return _cvtsh_ss(h); }

 private:
  static inline F Widen(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); }
};

}  // namespace
