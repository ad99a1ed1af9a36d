// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "kernels/cpu/vector_scan_kernels.h"

namespace {

// |q| * (x with the sign of q) has an unsigned operand, as the instruction wants, and two products
// of at most 127 * 127 fit into the 16 bits in which it adds them.
struct ScanLanes {
  static constexpr int kCount = 32;
  using I = __m256i;
  struct Query {
    __m256i value;
    __m256i magnitude;
  };

  static inline I Zero() { return _mm256_setzero_si256(); }
  static inline Query LoadQuery(const int8_t* p) {
    const __m256i value = _mm256_loadu_si256((const __m256i*)p);
    return {value, _mm256_abs_epi8(value)};
  }
  static inline I AddProducts(I sum, const int8_t* row, const Query& q) {
    const __m256i x = _mm256_loadu_si256((const __m256i*)row);
    const __m256i pairs = _mm256_maddubs_epi16(q.magnitude, _mm256_sign_epi8(x, q.value));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static inline int32_t Correction(const int8_t*, int) { return 0; }
  static inline int32_t Sum(I v) {
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
  }
};

}  // namespace

#include "kernels/cpu/vector_scan_impl.h"

namespace dki::kernels::vector_scan_avx2 {

void Int8Dots(const int8_t* query, const int8_t* const* rows, int n_rows, int n, int32_t* dots) {
  AllDots(query, rows, n_rows, n, dots);
}

float Dot(const float* a, const float* b, int n) {
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
  for (int i = 0; i < n; i += 16) {
    low = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), low);
    high = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), high);
  }
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

}  // namespace dki::kernels::vector_scan_avx2
