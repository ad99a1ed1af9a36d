// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/reference/reference.h"

namespace dki::kernels::reference {

void Int8Dots(const int8_t* query, const int8_t* const* rows, int n_rows, int n, int32_t* dots) {
  for (int i = 0; i < n_rows; ++i) {
    int32_t sum = 0;
    for (int k = 0; k < n; ++k) sum += int32_t{query[k]} * rows[i][k];
    dots[i] = sum;
  }
}

float Dot(const float* a, const float* b, int n) {
  float sums[16] = {};
  for (int i = 0; i < n; i += 16)
    for (int lane = 0; lane < 16; ++lane)
      sums[lane] = std::fma(a[i + lane], b[i + lane], sums[lane]);
  for (int half = 8; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  return sums[0];
}

}  // namespace dki::kernels::reference
