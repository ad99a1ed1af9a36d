// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/int16_lanes_avx512.h"

namespace {

struct IntLanes : Int16Lanes512 {
  // _mm512_dpwssd_epi32, around which GCC 12 copies every sum twice.
  static inline I Dot(I sum, I w, I x) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
    return sum;
  }
};

}  // namespace

#include "kernels/cpu/int16_impl.h"

namespace dki::kernels::int16_vnni {

void MatMulInt16(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y, int row_begin,
                 int row_end, uint8_t* scratch) {
  MatMulInt16Any(w, x, n_tokens, y, row_begin, row_end, scratch);
}
void QuantizeInt16(const float* x, size_t begin, size_t end, int16_t* q, float* d, float* sum) {
  QuantizeBlocks(x, begin, end, q, d, sum);
}

}  // namespace dki::kernels::int16_vnni
