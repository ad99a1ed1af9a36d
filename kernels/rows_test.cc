// SPDX-License-Identifier: Apache-2.0
// Formats, norms, activations, rotary positions, the team of threads.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <string_view>

#include "kernels/activation.h"
#include "kernels/norm.h"
#include "kernels/reference/reference.h"
#include "kernels/rope.h"
#include "kernels/test_paths.h"
#include "kernels/thread_pool.h"

namespace dki::kernels {
namespace {

using ::testing::FloatNear;
using ::testing::Pointwise;

TEST(DTypeTest, EveryHalfSurvivesTheWayToFloatAndBack) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float f = HalfToFloat(static_cast<uint16_t>(h));
    if (std::isnan(f))
      EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(f))));
    else
      ASSERT_EQ(FloatToHalf(f), h);
  }
  EXPECT_EQ(HalfToFloat(0x3c01), 1.0f + 0x1p-10f);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);         // rounds to infinity
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f), 0x3c00);  // a tie goes to even
  EXPECT_EQ(FloatToBf16(1.0f + 0x1p-8f), 0x3f80);   // so here
}

TEST(DTypeTest, QuantisedRowsAreWithinAStep) {
  const std::vector<float> x = RandomFloats(256, 1);
  for (auto [dtype, step] : {std::pair{DType::kQ8_0, 1.02f / 127}, std::pair{DType::kQ4_0, 0.14f},
                             std::pair{DType::kQ4_1, 0.07f}}) {
    std::vector<char> bytes(RowBytes(dtype, 256));
    std::vector<float> back(256);
    QuantizeRow(dtype, x.data(), 256, bytes.data());
    DequantizeRow(dtype, bytes.data(), 256, back.data());
    EXPECT_THAT(back, Pointwise(FloatNear(step), x)) << Name(dtype);
  }
}

// testdata/blocks.bin holds what another implementation reads (tools/fixtures/make_blocks.py).
TEST(DTypeTest, EveryQuantisedFormatReadsAsElsewhere) {
  std::ifstream file("kernels/testdata/blocks.bin", std::ios::binary);
  char name[8];
  int n_formats = 0;
  for (; file.read(name, sizeof(name)); ++n_formats) {
    uint32_t n_bytes = 0;
    std::vector<float> want(256), got(256);
    file.read(reinterpret_cast<char*>(&n_bytes), sizeof(n_bytes));
    std::vector<char> bytes(n_bytes);
    file.read(bytes.data(), n_bytes);
    file.read(reinterpret_cast<char*>(want.data()), 256 * sizeof(float));
    const auto* dtype = std::find_if(std::begin(kAllFormats), std::end(kAllFormats), [&](DType d) {
      return std::string_view(Name(d)) == std::string_view(name);
    });
    ASSERT_NE(dtype, std::end(kAllFormats)) << name;
    ASSERT_EQ(RowBytes(*dtype, 256), n_bytes) << name;
    DequantizeRow(*dtype, bytes.data(), 256, got.data());
    for (int i = 0; i < 256; ++i)
      ASSERT_NEAR(got[i], want[i], 1e-5 * (1 + std::fabs(want[i]))) << name << " at " << i;
  }
  EXPECT_EQ(n_formats, 8);
}

class RowsTest : public PathTest {};

TEST_P(RowsTest, RmsNormEqualsTheReference) {
  for (int n : {1, 15, 64, 577}) {
    const std::vector<float> x = RandomFloats(3 * n, 1);
    const std::vector<float> weight = RandomFloats(n, 2);
    std::vector<float> y(3 * n), want(3 * n), one(n);
    RmsNorm(GetParam(), x.data(), weight.data(), 1e-5f, 3, n, y.data());
    reference::RmsNorm(x.data(), weight.data(), 1e-5f, 3, n, want.data());
    EXPECT_THAT(y, Pointwise(FloatNear(2e-6f), want));
    RmsNorm(GetParam(), x.data() + n, weight.data(), 1e-5f, 1, n, one.data());
    EXPECT_EQ(one, std::vector<float>(y.begin() + n, y.begin() + 2 * n));
  }
}

TEST_P(RowsTest, GatedUnitsEqualTheReferenceAlsoAtTheirEnds) {
  for (int n : {1, 7, 16, 45}) {
    std::vector<float> gate = RandomFloats(n, 3);
    for (float& g : gate) g *= 20;
    gate[0] = n == 1 ? -200.0f : 200.0f;
    const std::vector<float> random = RandomFloats(n, 4);
    for (const float* up : {random.data(), static_cast<const float*>(nullptr)}) {
      std::vector<float> silu = gate, want_silu = gate, gelu = gate, want_gelu = gate;
      SiluMul(GetParam(), up, n, silu.data());
      reference::SiluMul(up, n, want_silu.data());
      GeluTanhMul(GetParam(), up, n, gelu.data());
      reference::GeluTanhMul(up, n, want_gelu.data());
      for (int i = 0; i < n; ++i) {
        EXPECT_NEAR(silu[i], want_silu[i], 1e-6 * (1 + std::fabs(want_silu[i])));
        EXPECT_NEAR(gelu[i], want_gelu[i], 1e-6 * (1 + std::fabs(want_gelu[i])));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, RowsTest, ::testing::ValuesIn(kAllPaths), PathName);

TEST_P(RowsTest, LayerNormHasMeanBiasAndVarianceWeight) {
  std::vector<float> y(4);
  const float x[] = {1, 2, 3, 4};
  const float weight[] = {2, 2, 2, 2};
  const float bias[] = {0, 0, 0, 1};
  LayerNorm(GetParam(), x, weight, bias, 0.0f, 1, 4, y.data());
  const float unit = 1 / std::sqrt(1.25f);
  EXPECT_THAT(y, Pointwise(FloatNear(1e-6f), {-3 * unit, -1 * unit, 1 * unit, 3 * unit + 1}));
  for (int n : {1, 19, 384}) {
    std::vector<float> rows = RandomFloats(2 * n, 7);
    for (float& value : rows) value += 10.0f;  // a mean far from 0
    const std::vector<float> w = RandomFloats(n, 8);
    const std::vector<float> b = RandomFloats(n, 9);
    std::vector<float> got(2 * n), want(2 * n);
    LayerNorm(GetParam(), rows.data(), w.data(), b.data(), 1e-5f, 2, n, got.data());
    reference::LayerNorm(rows.data(), w.data(), b.data(), 1e-5f, 2, n, want.data());
    EXPECT_THAT(got, Pointwise(FloatNear(2e-5f), want)) << n;
  }
}

TEST_P(RowsTest, GeluIsTheExactForm) {
  std::vector<float> x = {-1, 0, 2};
  Gelu(GetParam(), 3, x.data());
  EXPECT_THAT(x, Pointwise(FloatNear(1e-6f), {-0.15865526f, 0.0f, 1.9544997f}));
  std::vector<float> many = {1e-20f, -1e-20f, 1e-8f, 30.0f, -30.0f, 1e30f, -1e30f};
  for (float at = -8; at < 8; at += 0.01f) many.push_back(at);
  std::vector<float> want = many;
  Gelu(GetParam(), static_cast<int>(many.size()), many.data());
  reference::Gelu(static_cast<int>(want.size()), want.data());
  for (size_t i = 0; i < many.size(); ++i)
    EXPECT_NEAR(many[i], want[i], 1e-6 * (1 + std::fabs(want[i]))) << i;
}

TEST(ActivationTest, TheApproximateGeluIsTheUsualOne) {
  std::vector<float> x = {-1, 0, 2};  // torch.nn.functional.gelu(x, approximate="tanh")
  GeluTanhMul(Isa::kReference, nullptr, 3, x.data());
  EXPECT_THAT(x, Pointwise(FloatNear(1e-6f), {-0.15880801f, 0.0f, 1.9545977f}));
}

TEST(ActivationTest, SoftmaxOfLargeLogits) {
  std::vector<float> y = {1000.0f, 1000.0f, 900.0f};
  Softmax(3, y.data());
  EXPECT_THAT(y, Pointwise(FloatNear(1e-6f), {0.5f, 0.5f, 0.0f}));
}

TEST(RopeTest, ScoresDependOnTheDifferenceOfPositions) {
  const int n_rot = 12;  // of 16 channels; the rest pass through
  const auto frequencies = RopeFrequencies(10000.0, n_rot, nullptr);
  for (RopePairs pairs : {RopePairs::kInterleaved, RopePairs::kHalves}) {
    const std::vector<float> q = RandomFloats(16, 5);
    const std::vector<float> k = RandomFloats(16, 6);
    const auto score = [&](double at_q, double at_k) {
      std::vector<float> table(n_rot), rq(16), rk(16);
      RopeTable(at_q, frequencies, table.data());
      ApplyRope(pairs, table.data(), n_rot, 1, 16, q.data(), rq.data());
      RopeTable(at_k, frequencies, table.data());
      ApplyRope(pairs, table.data(), n_rot, 1, 16, k.data(), rk.data());
      EXPECT_EQ(rq[15], q[15]);
      double dot = 0;
      for (int i = 0; i < 16; ++i) dot += rq[i] * rk[i];
      return dot;
    };
    EXPECT_NEAR(score(7.5, 3), score(104.5, 100), 1e-5);
    EXPECT_GT(std::fabs(score(7.5, 3) - score(7.5, 4)), 1e-3);
  }
}

TEST(ThreadPoolTest, EveryIndexRunsOnceOnAnyTeam) {
  for (int n_threads : {1, 2, 5}) {
    ThreadPool pool(n_threads);
    ASSERT_EQ(pool.n_threads(), n_threads);
    for (int n : {0, 1, 3, 100, 1001}) {
      std::vector<std::atomic<int>> hits(n);
      pool.ForRanges(n, 8, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) ++hits[i];
      });
      for (const auto& hit : hits) ASSERT_EQ(hit, 1);
    }
    std::atomic<int> runs = 0;
    for (int i = 0; i < 1000; ++i) pool.Run([&](int) { ++runs; });
    EXPECT_EQ(runs, 1000 * n_threads);
  }
}

}  // namespace
}  // namespace dki::kernels
