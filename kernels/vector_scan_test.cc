// SPDX-License-Identifier: Apache-2.0
#include "kernels/vector_scan.h"

#include <cmath>

#include "kernels/test_paths.h"

namespace dki::kernels {
namespace {

class VectorScanTest : public PathTest {};
INSTANTIATE_TEST_SUITE_P(Paths, VectorScanTest, ::testing::ValuesIn(kAllPaths), PathName);

TEST_P(VectorScanTest, DotsAreExactForAnyNumberOfRowsAndExtremeValues) {
  std::mt19937 random(3);
  for (const int n : {64, 384, 1088}) {
    std::vector<int8_t> data(static_cast<size_t>(n) * 24);
    for (int8_t& value : data) value = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
    std::vector<int8_t> query(data.end() - n, data.end());
    for (int i = 0; i < n; ++i) {  // the largest sums that pairs of products can have
      query[i] = i % 3 == 0 ? -127 : 127;
      data[i] = 127;
      data[n + i] = -127;
      data[2 * n + i] = query[i];
    }
    std::vector<const int8_t*> rows;
    for (int r = 22; r >= 0; --r) rows.push_back(data.data() + static_cast<size_t>(r) * n);
    for (int n_rows : {0, 1, 3, 4, 23}) {
      std::vector<int32_t> dots(n_rows + 1, -5);
      Int8Dots(GetParam(), query.data(), rows.data(), n_rows, n, dots.data());
      for (int r = 0; r < n_rows; ++r) {
        int64_t expected = 0;
        for (int k = 0; k < n; ++k) expected += int64_t{query[k]} * rows[r][k];
        ASSERT_EQ(dots[r], expected) << "row " << r << " of " << n_rows << ", n " << n;
      }
      EXPECT_EQ(dots[n_rows], -5) << "written beyond the end";
    }
  }
}

TEST_P(VectorScanTest, FloatDotsEqualTheReferenceToTheBit) {
  for (const int n : {16, 64, 384, 1008}) {
    const std::vector<float> a = RandomFloats(n, 1);
    const std::vector<float> b = RandomFloats(n, 2);
    const float dot = Dot(GetParam(), a.data(), b.data(), n);
    EXPECT_EQ(dot, Dot(Isa::kReference, a.data(), b.data(), n));
    double exact = 0;
    for (int i = 0; i < n; ++i) exact += double{a[i]} * b[i];
    EXPECT_NEAR(dot, exact, 1e-4);
  }
}

TEST(QuantizeToInt8Test, ErrorBoundsTheDifference) {
  for (const float size : {0.0f, 1e-35f, 1e-20f, 0.05f, 1.0f, 1e20f}) {
    std::vector<float> x = RandomFloats(384, 9);
    for (float& value : x) value *= size;
    std::vector<int8_t> q(x.size());
    const Int8Copy copy = QuantizeToInt8(x.data(), static_cast<int>(x.size()), q.data());
    double squares = 0;
    double length = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_GE(q[i], -127);
      squares += std::pow(double{x[i]} - double{copy.scale} * q[i], 2);
      length += std::pow(double{x[i]}, 2);
    }
    EXPECT_GE(copy.error, std::sqrt(squares));
    if (size > 1e-25f) {
      EXPECT_LE(copy.error, 0.01 * std::sqrt(length)) << size;
    }
  }
}

}  // namespace
}  // namespace dki::kernels
