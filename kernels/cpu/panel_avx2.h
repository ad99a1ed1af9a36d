// SPDX-License-Identifier: Apache-2.0
// Products of code panels with the 16-bit multiply-add of AVX2; see panel_plain.h.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace {

struct Panel {
  static constexpr int kQueries = 3;
  struct Weights {
    alignas(64) int16_t value[256];
  };

  static inline void Store(Lanes::F weights, int at, Weights* w) {
    alignas(64) float values[Lanes::kCount];
    Lanes::Store(values, weights);
    for (int i = 0; i < Lanes::kCount; i += 8) {
      const __m256i value = _mm256_cvtps_epi32(_mm256_load_ps(values + i));
      const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(value, value), 0x08);
      _mm_store_si128(reinterpret_cast<__m128i*>(w->value + at + i),
                      _mm256_castsi256_si128(packed));
    }
  }

  template <int kBits, int kQ>
  static inline void Multiply(const uint8_t* codes, int n_quads, const Weights* w, int first,
                              ptrdiff_t ahead, int32_t (*sums)[32]) {
    for (int half = 0; half < 2; ++half)
      Half<kBits, kQ>(codes, n_quads, w, first, half, ahead, sums);
  }

 private:
  template <int kBits, int kQ>
  static inline void Half(const uint8_t* codes, int n_quads, const Weights* w, int first, int half,
                          ptrdiff_t ahead, int32_t (*sums)[32]) {
    constexpr int kFields = 8 / kBits;
    const __m128i mask = _mm_set1_epi8(static_cast<char>((1 << kBits) - 1));
    // Four columns to a register, two sums each: of the even and of the odd pair of codes.
    __m256i sum[kQ][4];
#pragma GCC unroll 3
    for (int q = 0; q < kQ; ++q) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) sum[q][i] = _mm256_setzero_si256();
    }
    for (int quad = 0; quad < n_quads; ++quad) {
      const int step = quad * 2 + half;
      const uint8_t* from = codes + step / kFields * 64;
      __builtin_prefetch(from + ahead);
      const __m128i shift = _mm_cvtsi32_si128(step % kFields * kBits);
      __m256i weight[kQ];
#pragma GCC unroll 3
      for (int q = 0; q < kQ; ++q)
        weight[q] =
            _mm256_set1_epi64x(*reinterpret_cast<const long long*>(w[q].value + first + 4 * quad));
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16 * i));
        if (kBits < 8) bytes = _mm_and_si128(_mm_srl_epi16(bytes, shift), mask);
        const __m256i code = _mm256_cvtepu8_epi16(bytes);
#pragma GCC unroll 3
        for (int q = 0; q < kQ; ++q)
          sum[q][i] = _mm256_add_epi32(sum[q][i], _mm256_madd_epi16(code, weight[q]));
      }
    }
#pragma GCC unroll 3
    for (int q = 0; q < kQ; ++q) {
#pragma GCC unroll 2
      for (int i = 0; i < 4; i += 2) {
        const __m256i eight =
            _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum[q][i], sum[q][i + 1]), 0xd8);
        __m256i* to = reinterpret_cast<__m256i*>(sums[q] + 16 * half + 4 * i);
        _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), eight));
      }
    }
  }
};

}  // namespace
