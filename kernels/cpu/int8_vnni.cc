// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>
#include <stdint.h>

namespace {

// Sixteen rows in AVX-512 registers, with VNNI.
struct IntLanes {
  static constexpr int kRows = 16;
  static constexpr int kQ8Zero = 128;  // the instruction wants unsigned weights
  static constexpr int kTokens = 8;
  using I = __m512i;
  using F = __m512;

  static inline I Zero() { return _mm512_setzero_si512(); }
  static inline I Set(int32_t x) { return _mm512_set1_epi32(x); }
  static inline I LoadBytes(const uint8_t* p) { return _mm512_load_si512(p); }
  static inline void Store(uint8_t* p, I v) { _mm512_store_si512(p, v); }
  static inline I Subtract(I a, I b) { return _mm512_sub_epi32(a, b); }
  static inline I Times256Plus(I a, I b) { return _mm512_add_epi32(_mm512_slli_epi32(a, 8), b); }
  static inline I LowNibbles(I v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
  static inline I HighNibbles(I v) { return LowNibbles(_mm512_srli_epi16(v, 4)); }
  static inline I FromInt8(I v) {
    return _mm512_xor_si512(v, _mm512_set1_epi8(static_cast<char>(0x80)));  // + 128
  }
  static inline I Dot(I acc, I w, I x) { return _mm512_dpbusd_epi32(acc, w, x); }
  static inline I DotQ8(I acc, I w, I x) { return _mm512_dpbusd_epi32(acc, w, x); }

  static inline F Load(const float* p) { return _mm512_loadu_ps(p); }
  static inline void Store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static inline F SetFloat(float x) { return _mm512_set1_ps(x); }
  static inline F ToFloat(I v) { return _mm512_cvtepi32_ps(v); }
  static inline F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static inline F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static inline F LoadHalf(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i*)p));
  }

  // Sixteen bytes of each row at `offset` into four vectors of one word per row.
  static inline void Transpose(const uint8_t* const* rows, int offset, I* out) {
    I v[4];
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm512_castsi128_si512(Bytes(rows[i] + offset));
      v[i] = _mm512_inserti32x4(v[i], Bytes(rows[4 + i] + offset), 1);
      v[i] = _mm512_inserti32x4(v[i], Bytes(rows[8 + i] + offset), 2);
      v[i] = _mm512_inserti32x4(v[i], Bytes(rows[12 + i] + offset), 3);
    }
    const I low01 = _mm512_unpacklo_epi32(v[0], v[1]);
    const I low23 = _mm512_unpacklo_epi32(v[2], v[3]);
    const I high01 = _mm512_unpackhi_epi32(v[0], v[1]);
    const I high23 = _mm512_unpackhi_epi32(v[2], v[3]);
    out[0] = _mm512_unpacklo_epi64(low01, low23);
    out[1] = _mm512_unpackhi_epi64(low01, low23);
    out[2] = _mm512_unpacklo_epi64(high01, high23);
    out[3] = _mm512_unpackhi_epi64(high01, high23);
  }

 private:
  static inline __m128i Bytes(const uint8_t* p) { return _mm_loadu_si128((const __m128i*)p); }
};

}  // namespace

#include "kernels/cpu/int8_impl.h"

namespace dki::kernels::vnni {

void MatMulInt8(const WeightMatrix& w, const QuantizedView& x, int n_tokens, float* y,
                int row_begin, int row_end) {
  MatMulInt8Any(w, x, n_tokens, y, row_begin, row_end);
}

}  // namespace dki::kernels::vnni
