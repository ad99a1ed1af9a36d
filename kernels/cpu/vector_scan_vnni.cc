// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "kernels/cpu/vector_scan_kernels.h"

namespace {

// The instruction wants one operand unsigned, so rows are taken plus 128 and 128 times the query's
// sum is taken off at the end.
struct ScanLanes {
  static constexpr int kCount = 64;
  using I = __m512i;
  using Query = __m512i;

  static inline I Zero() { return _mm512_setzero_si512(); }
  static inline Query LoadQuery(const int8_t* p) { return _mm512_loadu_si512(p); }
  static inline I AddProducts(I sum, const int8_t* row, const Query& q) {
    const __m512i x = _mm512_xor_si512(_mm512_loadu_si512(row), _mm512_set1_epi8(-128));
    return _mm512_dpbusd_epi32(sum, x, q);
  }
  static inline int32_t Correction(const int8_t* query, int n) {
    __m512i sum = Zero();
    for (int k = 0; k < n; k += kCount)
      sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(-128), LoadQuery(query + k));
    return Sum(sum);
  }
  static inline int32_t Sum(I v) { return _mm512_reduce_add_epi32(v); }
};

}  // namespace

#include "kernels/cpu/vector_scan_impl.h"

namespace dki::kernels::vector_scan_vnni {

void Int8Dots(const int8_t* query, const int8_t* const* rows, int n_rows, int n, int32_t* dots) {
  AllDots(query, rows, n_rows, n, dots);
}

}  // namespace dki::kernels::vector_scan_vnni
