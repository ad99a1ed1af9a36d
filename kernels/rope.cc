// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"

#include <cmath>
#include <cstddef>

namespace dki::kernels {

std::vector<double> RopeFrequencies(double theta, int n_rot, const float* factors) {
  std::vector<double> frequencies(n_rot / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / n_rot);
    if (factors != nullptr) frequencies[i] /= factors[i];
  }
  return frequencies;
}

void RopeTable(double position, const std::vector<double>& frequencies, float* table) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = position * frequencies[i];
    table[2 * i] = static_cast<float>(std::cos(angle));
    table[2 * i + 1] = static_cast<float>(std::sin(angle));
  }
}

void ApplyRope(RopePairs pairs, const float* table, int n_rot, int n_heads, int head_dim,
               const float* x, float* y) {
  const int half = n_rot / 2;
  const int first_step = pairs == RopePairs::kInterleaved ? 2 : 1;
  const int partner = pairs == RopePairs::kInterleaved ? 1 : half;
  for (int h = 0; h < n_heads; ++h, x += head_dim, y += head_dim) {
    for (int i = 0; i < half; ++i) {
      const int a = i * first_step;
      const int b = a + partner;
      const float cosine = table[2 * i];
      const float sine = table[2 * i + 1];
      const float xa = x[a];
      const float xb = x[b];
      y[a] = xa * cosine - xb * sine;
      y[b] = xa * sine + xb * cosine;
    }
    for (int c = 2 * half; c < head_dim; ++c) y[c] = x[c];
  }
}

}  // namespace dki::kernels
