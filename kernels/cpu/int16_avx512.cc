// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/int16_lanes_avx512.h"

namespace {

struct IntLanes : Int16Lanes512 {
  // In this order: GCC 12 would sum all products of a block in a tree, for which registers lack.
  static inline I Dot(I sum, I w, I x) {
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(w, x));
    asm("" : "+v"(sum));
    return sum;
  }
};

}  // namespace

#include "kernels/cpu/int16_impl.h"

namespace dki::kernels::int16_avx512 {

void MatMulInt16(const WeightMatrix& w, const Int16View& x, int n_tokens, float* y, int row_begin,
                 int row_end, uint8_t* scratch) {
  MatMulInt16Any(w, x, n_tokens, y, row_begin, row_end, scratch);
}
void QuantizeInt16(const float* x, size_t begin, size_t end, int16_t* q, float* d, float* sum) {
  QuantizeBlocks(x, begin, end, q, d, sum);
}

}  // namespace dki::kernels::int16_avx512
