// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include <gmock/gmock.h>

#include <cmath>

#include "kernels/reference/reference.h"
#include "kernels/test_paths.h"

namespace dki::kernels {
namespace {

struct Shape {
  int n_out, k, n_tokens;
};
// Tails of every tile: rows of 16 and 4, tokens of 96, 8, 6 and 4, k of 32.
constexpr Shape kShapes[] = {{1, 32, 1},    {5, 64, 1},    {19, 96, 7}, {33, 32, 13}, {16, 576, 6},
                             {23, 2112, 3}, {47, 64, 101}, {5, 256, 1}, {19, 512, 7}};

bool Fits(DType dtype, const Shape& s) {
  return s.k % BlockValues(dtype) == 0;
}

// Of the sum's absolute terms: float sums of k terms against the double sum.
constexpr double kTolerance = 1e-6;

class MatMulTest : public PathTest {};

// sum |w x| of each output: the scale that rounding is measured against.
std::vector<float> Magnitudes(const WeightMatrix& w, std::vector<float> x, int n_tokens) {
  std::vector<float> dense(static_cast<size_t>(w.n_out) * w.k);
  DequantizeRow(w.dtype, w.data, dense.size(), dense.data());
  for (float& v : dense) v = std::fabs(v);
  for (float& v : x) v = std::fabs(v);
  std::vector<float> y(static_cast<size_t>(n_tokens) * w.n_out);
  reference::MatMul({DType::kF32, w.n_out, w.k, dense.data()}, x.data(), n_tokens, y.data(), 0,
                    w.n_out);
  return y;
}

TEST_P(MatMulTest, EqualsTheDoubleSum) {
  for (DType dtype : kAllFormats) {
    std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
    if (!IsQuantized(dtype)) shapes.insert(shapes.end(), {{7, 1, 1}, {9, 45, 1}, {9, 45, 11}});
    for (const Shape& s : shapes) {
      if (!Fits(dtype, s)) continue;
      const std::vector<char> weights = RandomRow(dtype, static_cast<size_t>(s.n_out) * s.k, 1);
      const std::vector<float> x = RandomFloats(static_cast<size_t>(s.n_tokens) * s.k, 2);
      const WeightMatrix w{dtype, s.n_out, s.k, weights.data()};
      std::vector<float> y(static_cast<size_t>(s.n_tokens) * s.n_out, NAN);
      std::vector<float> want = y;
      MatMul(GetParam(), w, x.data(), s.n_tokens, y.data(), 0, s.n_out);
      reference::MatMul(w, x.data(), s.n_tokens, want.data(), 0, s.n_out);
      const std::vector<float> scale = Magnitudes(w, x, s.n_tokens);
      for (size_t i = 0; i < y.size(); ++i)
        ASSERT_NEAR(y[i], want[i], kTolerance * scale[i] + 1e-30)
            << Name(dtype) << " " << s.n_out << "x" << s.k << " tokens " << s.n_tokens << " at "
            << i;
    }
  }
}

// P11: any number of tokens beside it, any range of rows, any number of threads.
TEST_P(MatMulTest, AnElementDependsOnItsOwnRowAndTokenOnly) {
  for (DType dtype : kAllFormats) {
    for (const Shape& s : kShapes) {
      if (!Fits(dtype, s)) continue;
      const std::vector<char> weights = RandomRow(dtype, static_cast<size_t>(s.n_out) * s.k, 3);
      const std::vector<float> x = RandomFloats(static_cast<size_t>(s.n_tokens) * s.k, 4);
      const WeightMatrix w{dtype, s.n_out, s.k, weights.data()};
      const size_t n = static_cast<size_t>(s.n_tokens) * s.n_out;
      std::vector<float> together(n), alone(n), threaded(n);
      MatMul(GetParam(), w, x.data(), s.n_tokens, together.data(), 0, s.n_out);
      for (int t = 0; t < s.n_tokens; ++t) {
        const int cut = t % (s.n_out + 1);
        for (auto [begin, end] : {std::pair{0, cut}, std::pair{cut, s.n_out}})
          MatMul(GetParam(), w, x.data() + static_cast<size_t>(t) * s.k, 1,
                 alone.data() + static_cast<size_t>(t) * s.n_out, begin, end);
      }
      ThreadPool pool(3);
      MatMul(&pool, GetParam(), w, x.data(), s.n_tokens, threaded.data());
      ASSERT_EQ(together, alone) << Name(dtype) << " " << s.n_out << "x" << s.k;
      ASSERT_EQ(together, threaded) << Name(dtype) << " " << s.n_out << "x" << s.k;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, MatMulTest, ::testing::ValuesIn(kAllPaths), PathName);

}  // namespace
}  // namespace dki::kernels
