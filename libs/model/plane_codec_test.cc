// SPDX-License-Identifier: Apache-2.0
#include "libs/model/plane_codec.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "kernels/rope.h"
#include "libs/testing/status_matchers.h"

namespace dki::model {
namespace {

using kernels::KvFormat;
using testing::StatusIs;

// Odd rows, values in groups of 32 and 7 channels, fewer rotated channels than a head has, and
// layers of two kinds.
ModelConfig OddConfig() {
  ModelConfig config;
  config.n_layers = 2;
  config.n_kv_heads = 3;
  config.head_dim = 39;
  config.context_length = 2048;
  config.rope = {.pairing = RopePairing::kHalves, .theta = 1e4, .n_rot = 20, .factors = {}};
  config.window = 8;
  config.window_rope = {
      .pairing = RopePairing::kInterleaved, .theta = 500, .n_rot = 38, .factors = {}};
  config.windowed = {false, true};
  return config;
}

class PlaneCodecTest : public ::testing::TestWithParam<KvFormat> {
 protected:
  // Keys and values within [-1, 1], the keys before their rotation, but for one channel of keys
  // around `large`.
  KvBuffer Random(int n_tokens, float large = 0) const {
    std::mt19937 engine(n_tokens);
    std::uniform_real_distribution<float> uniform(-1, 1);
    KvBuffer kv(codec_.shape(), n_tokens);
    kv.Resize(n_tokens);
    std::vector<float> key(codec_.shape().row_size());
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      for (int token = 0; token < n_tokens; ++token) {
        for (float& x : key) x = uniform(engine);
        key[5] += large;
        Turn(layer, token, key.data(), kv.keys(layer, token));
        for (int c = 0; c < codec_.shape().row_size(); ++c)
          kv.values(layer, token)[c] = uniform(engine);
      }
    }
    return kv;
  }
  void Turn(int layer, int token, const float* from, float* to) const {
    const RopeConfig& rope = config_.rope_of(layer);
    std::vector<float> table(rope.n_rot);
    kernels::RopeTable(token, kernels::RopeFrequencies(rope.theta, rope.n_rot, nullptr),
                       table.data());
    kernels::ApplyRope(rope.pairing == RopePairing::kHalves ? kernels::RopePairs::kHalves
                                                            : kernels::RopePairs::kInterleaved,
                       table.data(), rope.n_rot, config_.n_kv_heads, config_.head_dim, from, to);
  }
  // The largest differences of keys and values among tokens [begin, end).
  static std::pair<double, double> Difference(const KvBuffer& a, const KvBuffer& b, int begin,
                                              int end) {
    double keys = 0, values = 0;
    for (int layer = 0; layer < a.shape().n_layers; ++layer) {
      for (int token = begin; token < end; ++token) {
        for (int c = 0; c < a.shape().row_size(); ++c) {
          keys =
              std::max<double>(keys, std::fabs(a.keys(layer, token)[c] - b.keys(layer, token)[c]));
          values = std::max<double>(
              values, std::fabs(a.values(layer, token)[c] - b.values(layer, token)[c]));
        }
      }
    }
    return {keys, values};
  }
  // Half of the distance between values within [-1, 1].
  static double HalfStep(KvFormat format) {
    if (format == KvFormat::kF32) return 0;
    if (format == KvFormat::kF16) return 1.0 / 4096;
    if (format == KvFormat::kBF16) return 1.0 / 512;
    return 1.01 / ((1 << kernels::CodeBits(format)) - 1);
  }

  const ModelConfig config_ = OddConfig();
  const PlaneCodec codec_{config_};
};

TEST_P(PlaneCodecTest, TokensOfAnyNumberComeBackWithinHalfAStep) {
  const KvFormat format = GetParam();
  for (int n = 1; n <= 70; ++n) {
    const KvBuffer kv = Random(n);
    std::string planes = "x";
    codec_.Encode(format, kv, &planes);
    ASSERT_EQ(planes.size(), 1 + PlaneCodec::SizeBytes(format, codec_.shape(), n));
    KvBuffer got(codec_.shape(), n);
    got.Resize(n);
    codec_.Decode(format, std::string_view(planes).substr(1), &got);
    const auto [keys, values] = Difference(got, kv, 0, n);
    // A rotation spreads a key's error, and its range, over two channels.
    EXPECT_LE(keys, 2 * HalfStep(format)) << n;
    EXPECT_LE(values, HalfStep(format)) << n;
    const KvBuffer rounded = codec_.Round(format, kv);
    EXPECT_EQ(Difference(got, rounded, 0, n), std::pair(0.0, 0.0)) << n;
  }
}

TEST_P(PlaneCodecTest, FewTokensTakeFewBytes) {
  const KvFormat format = GetParam();
  const size_t row = codec_.shape().row_size();
  const double bits = kernels::IsQuantized(format) ? kernels::CodeBits(format)
                      : format == KvFormat::kF32   ? 32
                                                   : 16;
  for (const int n : {8, 12, 31, 32, 256}) {
    const double floats = 2.0 * config_.n_layers * n * row;
    const double ranges = kernels::IsQuantized(format)
                              ? 2 * config_.n_layers * 4.0 * (row * ((n + 31) / 32) + 6.0 * n) / 2
                              : 0;
    const auto size = static_cast<double>(PlaneCodec::SizeBytes(format, codec_.shape(), n));
    EXPECT_GE(size, floats * bits / 8 + ranges) << n;
    EXPECT_LE(size, floats * bits / 8 + ranges + 2.0 * config_.n_layers * n) << n;  // odd rows
  }
}

// What is stored after the first tokens does not move with what follows a group.
TEST_P(PlaneCodecTest, GroupsDoNotKnowEachOther) {
  const KvBuffer kv = Random(70);
  const KvBuffer whole = codec_.Round(GetParam(), kv);
  const KvBuffer first = codec_.Round(GetParam(), kv.Share(64));
  EXPECT_EQ(Difference(whole, first, 0, 64), std::pair(0.0, 0.0));
}

// Beyond the tokens that have a table of rotations.
TEST_P(PlaneCodecTest, FarTokensToo) {
  const KvBuffer kv = Random(1060);
  const auto [keys, values] = Difference(codec_.Round(GetParam(), kv), kv, 1020, 1060);
  EXPECT_LE(keys, 2 * HalfStep(GetParam()));
  EXPECT_LE(values, HalfStep(GetParam()));
}

TEST_P(PlaneCodecTest, ExtremeValuesStayFinite) {
  const KvFormat format = GetParam();
  if (!kernels::IsQuantized(format)) return;  // they keep what they are given
  for (const int n : {3, 40}) {
    KvBuffer kv = Random(n);
    const float extremes[] = {1e9f, -1e9f, INFINITY, -INFINITY, NAN, 1e-30f};
    for (int token = 0; token < n; ++token) {
      kv.keys(0, token)[38] = extremes[token % 6];  // not rotated
      kv.values(0, token)[38] = extremes[token % 6];
    }
    const KvBuffer got = codec_.Round(format, kv);
    for (int token = 0; token < n; ++token) {
      for (int c = 0; c < codec_.shape().row_size(); ++c) {
        EXPECT_TRUE(std::isfinite(got.keys(0, token)[c])) << n << " " << token << " " << c;
        EXPECT_TRUE(std::isfinite(got.values(0, token)[c])) << n << " " << token << " " << c;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, PlaneCodecTest,
                         ::testing::Values(KvFormat::kF32, KvFormat::kF16, KvFormat::kBF16,
                                           KvFormat::kInt8, KvFormat::kInt4, KvFormat::kInt2),
                         [](const auto& info) { return std::string(kernels::Name(info.param)); });

// Single channels of keys are large; before their rotation they keep to themselves.
TEST_F(PlaneCodecTest, ALargeChannelSpoilsNoOther) {
  const KvBuffer kv = Random(64, 100);
  const KvBuffer got = codec_.Round(KvFormat::kInt4, kv);
  double error = 0;
  for (int token = 0; token < 64; ++token) {
    for (int c = 0; c < codec_.shape().row_size(); ++c) {
      if (c != 5 && c != 15)  // the large one is turned with channel 15
        error = std::max<double>(error, std::fabs(got.keys(0, token)[c] - kv.keys(0, token)[c]));
    }
  }
  EXPECT_LE(error, 1.5 * HalfStep(KvFormat::kInt4));
}

TEST(BlockFormatTest, NamesAreReadAndOthersRefused) {
  ASSERT_OK_AND_ASSIGN(const KvFormat format, ParseBlockFormat("int8"));
  EXPECT_EQ(format, KvFormat::kInt8);
  EXPECT_THAT(ParseBlockFormat("int8/int4").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("int4 and int2")));
}

}  // namespace
}  // namespace dki::model
