// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>
#include <stdint.h>

namespace {

// Eight rows in AVX2 registers.
struct IntLanes {
  static constexpr int kCount = 8;
  static constexpr int kTileTokens = 4;  // times two vectors of rows
  static constexpr int kFewTokens = 8;   // that do not pay for unpacking
  using I = __m256i;
  using F = __m256;

  static inline I Zero() { return _mm256_setzero_si256(); }
  static inline I Set(int32_t x) { return _mm256_set1_epi32(x); }
  static inline I Load(const void* p) { return _mm256_loadu_si256((const __m256i*)p); }
  static inline void Store(void* p, I v) { _mm256_storeu_si256((__m256i*)p, v); }
  static inline I LoadInt8(const uint8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)p));
  }
  // Nibble p of each 16-bit word, with its sign.
  template <int p>
  static inline I Nibbles(I words) {
    const I top = p == 3 ? words : _mm256_slli_epi16(words, 12 - 4 * p);
    return _mm256_srai_epi16(top, 12);
  }
  // In this order: GCC 12 would sum all products of a block in a tree, for which registers lack.
  static inline I Dot(I sum, I w, I x) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
    asm("" : "+x"(sum));
    return sum;
  }
  static inline I Round(F v) { return _mm256_cvtps_epi32(v); }  // to nearest even
  static inline void StoreInt16(int16_t* p, I v) {
    _mm_storeu_si128((__m128i*)p,
                     _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
  }

  static inline F ZeroFloat() { return _mm256_setzero_ps(); }
  static inline F SetFloat(float x) { return _mm256_set1_ps(x); }
  static inline F LoadFloat(const float* p) { return _mm256_loadu_ps(p); }
  static inline void StoreFloat(float* p, F v) { _mm256_storeu_ps(p, v); }
  static inline F LoadHalf(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
  }
  static inline F ToFloat(I v) { return _mm256_cvtepi32_ps(v); }
  static inline F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static inline F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static inline F Add(F a, F b) { return _mm256_add_ps(a, b); }
  // In halves: lane i adds lane i + 4, then i + 2, ...
  static inline float Sum(F v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  static inline F Abs(F v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
  static inline F Max(F a, F b) { return _mm256_max_ps(a, b); }
  static inline float MaxOf(F v) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
};

}  // namespace

#include "kernels/cpu/int16_impl.h"

namespace dki::kernels::int16_avx2 {

void MatMulInt16(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y, int row_begin,
                 int row_end, uint8_t* scratch) {
  MatMulInt16Any(w, x, n_tokens, y, row_begin, row_end, scratch);
}
void QuantizeInt16(const float* x, size_t begin, size_t end, int16_t* q, float* d, float* sum) {
  QuantizeBlocks(x, begin, end, q, d, sum);
}

}  // namespace dki::kernels::int16_avx2
