// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>
#include <stdint.h>

namespace {

// Eight rows in AVX2 registers.
struct IntLanes {
  static constexpr int kRows = 8;
  static constexpr int kQ8Zero = 0;  // int8 weights stay signed
  static constexpr int kTokens = 4;
  using I = __m256i;
  using F = __m256;

  static inline I Zero() { return _mm256_setzero_si256(); }
  static inline I Set(int32_t x) { return _mm256_set1_epi32(x); }
  static inline I LoadBytes(const uint8_t* p) { return _mm256_load_si256((const __m256i*)p); }
  static inline void Store(uint8_t* p, I v) { _mm256_store_si256((__m256i*)p, v); }
  static inline I Subtract(I a, I b) { return _mm256_sub_epi32(a, b); }
  static inline I Times256Plus(I a, I b) { return _mm256_add_epi32(_mm256_slli_epi32(a, 8), b); }
  static inline I LowNibbles(I v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
  static inline I HighNibbles(I v) { return LowNibbles(_mm256_srli_epi16(v, 4)); }
  static inline I FromInt8(I v) { return v; }
  // acc + the dot product of four values per lane. The pairs fit 16 bits: 2 * 15 * 127 here ...
  static inline I Dot(I acc, I w, I x) {
    const I pairs = _mm256_maddubs_epi16(w, x);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  // ... and 2 * 128 * 127 here, with the sign of w moved to x.
  static inline I DotQ8(I acc, I w, I x) {
    return Dot(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  }

  static inline F Load(const float* p) { return _mm256_loadu_ps(p); }
  static inline void Store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static inline F SetFloat(float x) { return _mm256_set1_ps(x); }
  static inline F ToFloat(I v) { return _mm256_cvtepi32_ps(v); }
  static inline F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static inline F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static inline F LoadHalf(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i*)p));
  }

  // Sixteen bytes of each row at `offset` into four vectors of one word per row.
  static inline void Transpose(const uint8_t* const* rows, int offset, I* out) {
    I v[4];
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(Bytes(rows[i] + offset)),
                                     Bytes(rows[4 + i] + offset), 1);
    }
    const I low01 = _mm256_unpacklo_epi32(v[0], v[1]);
    const I low23 = _mm256_unpacklo_epi32(v[2], v[3]);
    const I high01 = _mm256_unpackhi_epi32(v[0], v[1]);
    const I high23 = _mm256_unpackhi_epi32(v[2], v[3]);
    out[0] = _mm256_unpacklo_epi64(low01, low23);
    out[1] = _mm256_unpackhi_epi64(low01, low23);
    out[2] = _mm256_unpacklo_epi64(high01, high23);
    out[3] = _mm256_unpackhi_epi64(high01, high23);
  }

 private:
  static inline __m128i Bytes(const uint8_t* p) { return _mm_loadu_si128((const __m128i*)p); }
};

}  // namespace

#include "kernels/cpu/int8_impl.h"

namespace dki::kernels::avx2 {

void MatMulInt8(const WeightMatrix& w, const QuantizedView& x, int n_tokens, float* y,
                int row_begin, int row_end) {
  MatMulInt8Any(w, x, n_tokens, y, row_begin, row_end);
}

}  // namespace dki::kernels::avx2
