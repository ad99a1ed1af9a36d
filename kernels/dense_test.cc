// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense.h"

#include <cmath>

#include "kernels/reference/reference.h"
#include "kernels/test_paths.h"

namespace dki::kernels {
namespace {

class DenseTest : public PathTest {};
INSTANTIATE_TEST_SUITE_P(Paths, DenseTest, ::testing::ValuesIn(kAllPaths), PathName);

DenseMatrix RandomMatrix(int n_out, int k, uint32_t seed) {
  const std::vector<float> w = RandomFloats(static_cast<size_t>(n_out) * k, seed);
  const std::vector<float> bias = RandomFloats(n_out, seed + 1);
  return PackDense(reinterpret_cast<const char*>(w.data()), bias.data(), n_out, k);
}

TEST_P(DenseTest, EqualsTheReference) {
  for (const int n_out : {1, 17, 32, 75}) {
    for (const int k : {1, 33, 384}) {
      const DenseMatrix matrix = RandomMatrix(n_out, k, 1);
      for (const int n_tokens : {1, 5, 13, 250}) {
        const std::vector<float> x = RandomFloats(static_cast<size_t>(n_tokens) * k, 3);
        std::vector<float> y(static_cast<size_t>(n_tokens) * n_out + 1, -9.0f);
        std::vector<float> want = y;
        Dense(GetParam(), matrix, x.data(), n_tokens, y.data(), 0, matrix.n_panels());
        reference::Dense(matrix, x.data(), n_tokens, want.data(), 0, matrix.n_panels());
        for (size_t i = 0; i < y.size(); ++i)
          ASSERT_NEAR(y[i], want[i], 1e-5 * std::sqrt(k)) << n_out << " x " << k << ", " << i;
      }
    }
  }
}

TEST_P(DenseTest, ATokenDoesNotDependOnTheOthersNorOnTheRange) {
  const int n_out = 75, k = 96, n_tokens = 30;
  const DenseMatrix matrix = RandomMatrix(n_out, k, 5);
  const std::vector<float> x = RandomFloats(n_tokens * k, 6);
  std::vector<float> together(n_tokens * n_out);
  Dense(GetParam(), matrix, x.data(), n_tokens, together.data(), 0, matrix.n_panels());
  for (int t = 0; t < n_tokens; ++t) {
    std::vector<float> alone(n_out);
    for (int panel = matrix.n_panels() - 1; panel >= 0; --panel)
      Dense(GetParam(), matrix, x.data() + t * k, 1, alone.data(), panel, panel + 1);
    for (int i = 0; i < n_out; ++i) ASSERT_EQ(alone[i], together[t * n_out + i]);
  }
}

}  // namespace
}  // namespace dki::kernels
