// SPDX-License-Identifier: Apache-2.0
// What attention and the K/V codec need besides Lanes, on AVX-512; see kv_lanes_plain.h.
#pragma once

#include "kernels/cpu/lanes_avx512.h"

namespace {

struct KvLanes {
  static constexpr int kQueries = 6;  // 24 sums of the 32 registers
  static constexpr int kVectors = 4;

  static inline void StoreHalf(void* p, Lanes::F a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p),
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static inline Lanes::F LoadInt(const int32_t* p) {
    return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
  }
  static inline Lanes::F LoadField(const uint8_t* words, int shift, int mask) {
    const __m512i word = _mm512_srl_epi32(_mm512_loadu_si512(words), _mm_cvtsi32_si128(shift));
    return _mm512_cvtepi32_ps(_mm512_and_si512(word, _mm512_set1_epi32(mask)));
  }
  [[gnu::always_inline]] static inline void Transpose(Lanes::F* r) {
    __m512 t[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {  // rows i..i+3, four columns of each 128-bit part
      const __m512 a = _mm512_unpacklo_ps(r[i], r[i + 1]);
      const __m512 b = _mm512_unpackhi_ps(r[i], r[i + 1]);
      const __m512 c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
      const __m512 d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = Pairs<0x44>(a, c);
      t[i + 1] = Pairs<0xee>(a, c);
      t[i + 2] = Pairs<0x44>(b, d);
      t[i + 3] = Pairs<0xee>(b, d);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // column i of each part
      const __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
      const __m512 b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
      const __m512 c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
      const __m512 d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
      r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
      r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
      r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
      r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
  }

 private:
  template <int kControl>
  static inline __m512 Pairs(__m512 a, __m512 b) {
    return _mm512_shuffle_ps(a, b, kControl);
  }
};

}  // namespace
