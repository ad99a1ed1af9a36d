// SPDX-License-Identifier: Apache-2.0
// Products of code panels with VNNI; see panel_plain.h. A weight is two signed digits,
// 256 * high + low, each multiplied with the unsigned codes by one instruction.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/lanes_avx512.h"

namespace {

struct Panel {
  static constexpr int kQueries = 4;
  struct Weights {
    alignas(64) int8_t high[256];
    alignas(64) int8_t low[256];
  };

  static inline void Store(Lanes::F weights, int at, Weights* w) {
    const __m512i value = _mm512_cvtps_epi32(weights);
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(value, _mm512_set1_epi32(128)), 8);
    // The low byte of value is low's: high takes the carry.
    _mm_store_si128(reinterpret_cast<__m128i*>(w->high + at), _mm512_cvtepi32_epi8(high));
    _mm_store_si128(reinterpret_cast<__m128i*>(w->low + at), _mm512_cvtepi32_epi8(value));
  }

  template <int kBits, int kQ>
  static inline void Multiply(const uint8_t* codes, int n_quads, const Weights* w, int first,
                              ptrdiff_t ahead, int32_t (*sums)[32]) {
    constexpr int kFields = 8 / kBits;
    constexpr int kSteps = kFields < 2 ? 2 : kFields;  // that are read together
    const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
    __m512i high[kQ][2];
    __m512i low[kQ][2];
#pragma GCC unroll 8
    for (int q = 0; q < kQ; ++q) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) high[q][half] = low[q][half] = _mm512_setzero_si512();
    }
    for (int quad = 0; quad < n_quads; quad += kSteps / 2, codes += 64 * kSteps / kFields) {
#pragma GCC unroll 4
      for (int step = 0; step < kSteps; ++step) {
        const uint8_t* from = codes + step / kFields * 64;
        __m512i code = _mm512_loadu_si512(from);
        if (step % kFields == 0) __builtin_prefetch(from + ahead);
        if (step % kFields != 0) code = _mm512_srli_epi16(code, step % kFields * kBits);
        if (kBits < 8) code = _mm512_and_si512(code, mask);
        const int at = first + 4 * (quad + step / 2);
#pragma GCC unroll 8
        for (int q = 0; q < kQ; ++q) {
          high[q][step % 2] =
              _mm512_dpbusd_epi32(high[q][step % 2], code, Broadcast(w[q].high + at));
          low[q][step % 2] = _mm512_dpbusd_epi32(low[q][step % 2], code, Broadcast(w[q].low + at));
        }
      }
    }
#pragma GCC unroll 8
    for (int q = 0; q < kQ; ++q) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(high[q][half], 8), low[q][half]);
        int32_t* to = sums[q] + 16 * half;
        _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_loadu_si512(to), sum));
      }
    }
  }

 private:
  static inline __m512i Broadcast(const int8_t* quad) {
    return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(quad));
  }
};

}  // namespace
