// SPDX-License-Identifier: Apache-2.0
#include "kernels/logits.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "kernels/test_paths.h"

namespace dki::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kNone = -std::numeric_limits<float>::infinity();

class LogitsTest : public PathTest {};

TEST_P(LogitsTest, EachBlockHasItsLargest) {
  for (int n : {1, 63, 64, 65, 200}) {
    std::vector<float> x = RandomFloats(n, n);
    for (int i = 0; i < n; i += 7) x[i] = kNan;
    x[n - 1] = 2.0f;
    std::vector<float> maxima(LogitBlocks(n)), want(LogitBlocks(n), kNone);
    for (int i = 0; i < n; ++i) want[i / kLogitBlock] = std::fmax(want[i / kLogitBlock], x[i]);
    BlockMaxima(GetParam(), x.data(), n, maxima.data());
    EXPECT_EQ(maxima, want) << n;
  }
  std::vector<float> nothing(70, kNan), maxima(2);
  BlockMaxima(GetParam(), nothing.data(), 70, maxima.data());
  EXPECT_THAT(maxima, ::testing::Each(kNone));
}

TEST_P(LogitsTest, WeightsAreExponentialsAndSumUpByBlock) {
  for (int n : {1, 63, 64, 130}) {
    std::vector<float> x = RandomFloats(n, n);
    for (float& v : x) v = 30.0f * v;
    x[0] = 30.0f;
    if (n > 3) {
      x[1] = kNan;
      x[2] = kNone;
      x[3] = -1e30f;
    }
    std::vector<float> y(n), sums(LogitBlocks(n));
    ExpWeights(GetParam(), x.data(), n, 30.0f, 0.5f, y.data(), sums.data());
    EXPECT_NEAR(y[0], 1.0f, 1e-6f);
    std::vector<double> want(sums.size());
    for (int i = 0; i < n; ++i) {
      const double weight = i > 0 && i < 4 ? 0.0 : std::exp((x[i] - 30.0) * 0.5);
      EXPECT_NEAR(y[i], weight, 1e-5 * weight) << i << " of " << n;
      want[i / kLogitBlock] += weight;
    }
    for (size_t b = 0; b < sums.size(); ++b) EXPECT_NEAR(sums[b], want[b], 1e-5 * want[b]);
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, LogitsTest, ::testing::ValuesIn(kAllPaths), PathName);

}  // namespace
}  // namespace dki::kernels
