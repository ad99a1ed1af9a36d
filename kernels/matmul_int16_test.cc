// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul_int16.h"

#include <gmock/gmock.h>

#include <algorithm>

#include <cmath>

#include "kernels/packed_matrix.h"
#include "kernels/reference/reference.h"
#include "kernels/test_paths.h"

namespace dki::kernels {
namespace {

struct Shape {
  int n_out, k, n_tokens;
};
// Tails of every tile: rows of 16 and 32, tokens of 4, 8 and 264; and both sides of the numbers of
// tokens from which tiles are unpacked, 8 and 24.
constexpr Shape kShapes[] = {{1, 32, 1},    {5, 64, 8},   {19, 96, 7},   {33, 32, 13},
                             {48, 64, 9},   {16, 576, 6}, {23, 2112, 3}, {47, 64, 101},
                             {70, 64, 270}, {19, 512, 7}, {40, 64, 16},  {33, 96, 24},
                             {70, 128, 25}, {48, 64, 2},  {33, 64, 5},   {17, 64, 4}};
constexpr DType kPacked[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kF16,  DType::kBF16,
                             DType::kQ5_0, DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

struct Packed {
  Packed(DType dtype, const Shape& s, uint32_t seed)
      : weights(RandomRow(dtype, static_cast<size_t>(s.n_out) * s.k, seed)) {
    // -128 in Q8_0: no quantiser writes it, a file may hold it.
    if (IsQuantized(dtype)) weights[10] = static_cast<char>(0x80);
    rows = {dtype, s.n_out, s.k, weights.data()};
    bytes.resize(PackedBytes(rows));
    PackTiles(rows, 0, (s.n_out + kPackedRows - 1) / kPackedRows, bytes.data());
    w = {PackedDType(dtype), s.n_out, s.k, weights.data(), bytes.data()};
  }
  std::vector<char> weights;
  std::vector<uint8_t> bytes;
  WeightMatrix rows, w;  // as in a file, and packed
};

QuantizedActivations Quantize(Isa isa, const float* x, int n_tokens, int k) {
  QuantizedActivations q;
  q.Resize(n_tokens, k);
  QuantizeActivations(isa, x, 0, n_tokens, &q);
  return q;
}

class MatMulInt16Test : public PathTest {};

TEST_P(MatMulInt16Test, EqualsTheScalarOneToTheBit) {
  for (DType dtype : kPacked) {
    for (const Shape& s : kShapes) {
      if (s.k % BlockValues(dtype) != 0) continue;
      const Packed packed(dtype, s, 5);
      const std::vector<float> x = RandomFloats(static_cast<size_t>(s.n_tokens) * s.k, 6);
      const QuantizedActivations q = Quantize(GetParam(), x.data(), s.n_tokens, s.k);
      const size_t n = static_cast<size_t>(s.n_tokens) * s.n_out;
      std::vector<float> want(n), y(n);
      reference::MatMulInt16(packed.w, q, s.n_tokens, want.data(), 0, s.n_out);
      const int cut = s.n_out / 3 / kMatMulTileRows * kMatMulTileRows;
      MatMulInt16(GetParam(), packed.w, q, s.n_tokens, y.data(), 0, cut);
      MatMulInt16(GetParam(), packed.w, q, s.n_tokens, y.data(), cut, s.n_out);
      ASSERT_EQ(y, want) << Name(dtype) << " " << s.n_out << "x" << s.k;

      const float* last = x.data() + static_cast<size_t>(s.n_tokens - 1) * s.k;
      std::vector<float> alone(s.n_out);
      MatMulInt16(GetParam(), packed.w, Quantize(GetParam(), last, 1, s.k), 1, alone.data(), 0,
                  s.n_out);
      ASSERT_EQ(alone, std::vector<float>(want.end() - s.n_out, want.end()));
    }
  }
}

// Against the dequantised weights and the unquantised activations.
TEST_P(MatMulInt16Test, IsCloseToTheFloatProduct) {
  const Shape s{33, 768, 3};
  for (DType dtype : kPacked) {
    const Packed packed(dtype, s, 7);
    const std::vector<float> x = RandomFloats(static_cast<size_t>(s.n_tokens) * s.k, 8);
    std::vector<float> y(static_cast<size_t>(s.n_tokens) * s.n_out), want = y;
    MatMulInt16(GetParam(), packed.w, Quantize(GetParam(), x.data(), s.n_tokens, s.k), s.n_tokens,
                y.data(), 0, s.n_out);
    reference::MatMul(packed.rows, x.data(), s.n_tokens, want.data(), 0, s.n_out);
    // An activation is off by at most 1 / 65534, a weight of 12 bits by 1 / 4094 of the largest.
    std::vector<float> all(static_cast<size_t>(s.n_out) * s.k);
    DequantizeRow(dtype, packed.weights.data(), all.size(), all.data());
    float largest = 0;
    for (float v : all) largest = std::max(largest, std::fabs(v));
    const double tolerance = largest * (IsQuantized(packed.w.dtype) ? 6e-4 : 1.2e-2);
    for (size_t i = 0; i < y.size(); ++i)
      ASSERT_NEAR(y[i], want[i], tolerance) << Name(dtype) << " at " << i;
  }
}

TEST_P(MatMulInt16Test, QuantisesToWithinHalfAStep) {
  std::vector<float> x = RandomFloats(160, 7);
  for (int i = 32; i < 64; ++i) x[i] = 0;
  for (int i = 64; i < 96; ++i) x[i] *= 1e-37f;  // too small for a scale that has an inverse
  for (int i = 96; i < 128; ++i) x[i] *= 1e30f;
  const QuantizedActivations q = Quantize(GetParam(), x.data(), 1, 160);
  for (int b = 0; b < 5; ++b) {
    float sum = 0;
    for (int i = 32 * b; i < 32 * b + 32; ++i) {
      if (b != 2) {
        EXPECT_NEAR(q.q[i] * q.d[b], x[i], q.d[b] * 0.51f);
      }
      EXPECT_GE(q.q[i], -32767);
      if (b != 2) sum += x[i];
    }
    EXPECT_NEAR(q.sum[b], sum, q.d[b]);
  }
  EXPECT_EQ(q.d[1], 0.0f);
  EXPECT_EQ(q.d[2], 0.0f);
  QuantizedActivations reference;
  reference.Resize(1, 160);
  reference::QuantizeInt16(x.data(), 0, 5, reference.q.data(), reference.d.data(),
                           reference.sum.data());
  EXPECT_EQ(q.q, reference.q);
  EXPECT_EQ(q.d, reference.d);
  EXPECT_EQ(q.sum, reference.sum);
}

INSTANTIATE_TEST_SUITE_P(Paths, MatMulInt16Test, ::testing::ValuesIn(kAllPaths), PathName);

}  // namespace
}  // namespace dki::kernels
