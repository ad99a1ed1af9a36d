// SPDX-License-Identifier: Apache-2.0
#include "kernels/logits.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/reference.h"

namespace dki::kernels::reference {

void BlockMaxima(const float* x, int n, float* maxima) {
  std::fill_n(maxima, LogitBlocks(n), -std::numeric_limits<float>::infinity());
  for (int i = 0; i < n; ++i) {
    float& largest = maxima[i / kLogitBlock];
    if (x[i] > largest) largest = x[i];
  }
}

void ExpWeights(const float* x, int n, float max, float scale, float* y, float* sums) {
  for (int block = 0; block < LogitBlocks(n); ++block) {
    double sum = 0;
    for (int i = block * kLogitBlock; i < std::min(n, (block + 1) * kLogitBlock); ++i) {
      const double weight = std::exp((static_cast<double>(x[i]) - max) * scale);
      y[i] = weight >= 1e-37 ? static_cast<float>(weight) : 0.0f;  // false for NaN
      sum += y[i];
    }
    sums[block] = static_cast<float>(sum);
  }
}

}  // namespace dki::kernels::reference
