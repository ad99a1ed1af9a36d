// SPDX-License-Identifier: Apache-2.0
#include "kernels/kv_codec.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/attention_kernels.h"
#include "kernels/test_paths.h"

namespace dki::kernels {
namespace {

constexpr KvFormat kQuantised[] = {KvFormat::kInt8, KvFormat::kInt4, KvFormat::kInt2};
constexpr KeyGroups kAllGroups[] = {KeyGroups::kChannel, KeyGroups::kChannelFirst,
                                    KeyGroups::kToken};

// Channels that are no multiple of 32, a short last group, one large channel as models have.
class KvCodecTest : public PathTest {
 protected:
  static constexpr int kHeads = 2, kDim = 48, kRot = 40, kTokens = 75, kRow = kHeads * kDim;

  KvCodecTest() : x(RandomFloats(kTokens * kRow, 1)) {
    for (int t = 0; t < kTokens; ++t) x[t * kRow + 5] = 40 + x[t * kRow + 5];
  }
  KvGroupShape Shape(KvFormat format, KeyGroups groups = KeyGroups::kChannel) const {
    return {format, groups, kHeads, kDim, RopePairs::kHalves, kRot};
  }
  uint8_t* Room(const KvGroupShape& shape) {
    room.assign(KvGroups(kTokens) * kHeads * KvGroupBytes(shape) + 64, 0xab);
    uint8_t* p = room.data();
    while (reinterpret_cast<uintptr_t>(p) % 64 != 0) ++p;
    return p;
  }
  // Largest difference in the rows of tokens, over channels where `large` or the others.
  double Error(const std::vector<float>& got, bool large) const {
    double error = 0;
    for (size_t i = 0; i < x.size(); ++i)
      if ((i % kRow == 5) == large)
        error = std::max(error, std::fabs(static_cast<double>(got[i]) - x[i]));
    return error;
  }

  std::vector<float> x;
  std::vector<uint8_t> room;
  std::vector<float> rotations = KeyRotations(RopeFrequencies(1e5, kRot, nullptr), 2);
};

TEST_P(KvCodecTest, KeysPerChannelAreOffByHalfAStepAtMost) {
  for (KvFormat format : kQuantised) {
    const KvGroupShape shape = Shape(format);
    uint8_t* groups = Room(shape);
    EncodeKeys(GetParam(), shape, x.data(), kTokens, nullptr, groups);
    std::vector<float> got(x.size());
    DecodeKeys(GetParam(), shape, groups, kTokens, nullptr, got.data());
    const double step = 2.0 / ((1 << CodeBits(format)) - 1);  // values lie in [-1, 1]
    EXPECT_LE(Error(got, false), 0.51 * step) << Name(format);
    EXPECT_LE(Error(got, true), 0.53 * step) << Name(format);  // the half of 40 is coarser
    EXPECT_GE(Error(got, false), 0.4 * step) << Name(format);
  }
}

TEST_P(KvCodecTest, ALargeChannelSpoilsKeysPerTokenOnly) {
  std::vector<float> by_channel(x.size()), by_token(x.size());
  const KvGroupShape channel = Shape(KvFormat::kInt4),
                     token = Shape(KvFormat::kInt4, KeyGroups::kToken);
  EncodeKeys(GetParam(), channel, x.data(), kTokens, nullptr, Room(channel));
  uint8_t* groups = Room(channel);
  EncodeKeys(GetParam(), channel, x.data(), kTokens, nullptr, groups);
  DecodeKeys(GetParam(), channel, groups, kTokens, nullptr, by_channel.data());
  groups = Room(token);
  EncodeKeys(GetParam(), token, x.data(), kTokens, nullptr, groups);
  DecodeKeys(GetParam(), token, groups, kTokens, nullptr, by_token.data());
  EXPECT_GE(Error(by_token, false), 10 * Error(by_channel, false));
}

TEST_P(KvCodecTest, KeysBeforeRotationComeBackRotated) {
  const KvGroupShape shape = Shape(KvFormat::kInt8, KeyGroups::kChannelFirst);
  uint8_t* groups = Room(shape);
  std::vector<float> unrotated = RandomFloats(x.size(), 7), rotated(x.size()), got(x.size());
  std::vector<float> table(kRot);
  for (int t = 0; t < kTokens; ++t) {
    RopeTable(t, RopeFrequencies(1e5, kRot, nullptr), table.data());
    ApplyRope(RopePairs::kHalves, table.data(), kRot, kHeads, kDim, &unrotated[t * kRow],
              &rotated[t * kRow]);
  }
  x = rotated;
  EncodeKeys(GetParam(), shape, rotated.data(), kTokens, rotations.data(), groups);
  DecodeKeys(GetParam(), shape, groups, kTokens, rotations.data(), got.data());
  const double step = 2.0 / 255;
  EXPECT_LE(std::max(Error(got, false), Error(got, true)), 1.5 * 0.51 * step);  // |cos| + |sin|
}

TEST_P(KvCodecTest, ValuesAreOffByHalfAStepOfTheirChannels) {
  for (KvFormat format : kQuantised) {
    const KvGroupShape shape = Shape(format);
    uint8_t* groups = Room(shape);
    EncodeValues(GetParam(), shape, x.data(), kTokens, groups);
    std::vector<float> got(x.size());
    DecodeValues(GetParam(), shape, groups, kTokens, got.data());
    const double levels = (1 << CodeBits(format)) - 1;
    for (int t = 0; t < kTokens; ++t) {
      for (int c = 0; c < kRow; ++c) {
        const double range = c < 32 ? 42.0 : 2.0;  // the large channel's neighbours share its range
        ASSERT_NEAR(got[t * kRow + c], x[t * kRow + c], 0.51 * range / levels) << Name(format);
      }
    }
  }
}

TEST_P(KvCodecTest, ReadsTheLayoutAsTheReferenceDoes) {
  for (KvFormat format : kQuantised) {
    for (KeyGroups kind : kAllGroups) {
      const KvGroupShape shape = Shape(format, kind);
      uint8_t* groups = Room(shape);
      std::vector<float> got(x.size()), want(x.size());
      EncodeKeys(GetParam(), shape, x.data(), kTokens, rotations.data(), groups);
      DecodeKeys(GetParam(), shape, groups, kTokens, rotations.data(), got.data());
      DecodeKeys(Isa::kReference, shape, groups, kTokens, rotations.data(), want.data());
      EXPECT_THAT(got, ::testing::Pointwise(::testing::FloatNear(2e-5f), want))
          << Name(format) << " " << Name(kind);
      EncodeValues(GetParam(), shape, x.data(), kTokens, groups);
      DecodeValues(GetParam(), shape, groups, kTokens, got.data());
      DecodeValues(Isa::kReference, shape, groups, kTokens, want.data());
      EXPECT_THAT(got, ::testing::Pointwise(::testing::FloatNear(2e-5f), want)) << Name(format);
    }
  }
}

TEST_P(KvCodecTest, ExtremeAndConstantValuesStayFinite) {
  std::fill(x.begin(), x.end(), 0.0f);
  for (int t = 0; t < kTokens; ++t) {
    x[t * kRow + 1] = t % 2 == 0 ? 1e9f : -1e9f;
    x[t * kRow + 2] = 1e-30f;
    x[t * kRow + 3] = -7.0f;
  }
  for (KvFormat format : kQuantised) {
    const KvGroupShape shape = Shape(format);
    uint8_t* groups = Room(shape);
    std::vector<float> got(x.size());
    EncodeKeys(GetParam(), shape, x.data(), kTokens, nullptr, groups);
    DecodeKeys(GetParam(), shape, groups, kTokens, nullptr, got.data());
    for (int t = 0; t < kTokens; ++t) {
      EXPECT_TRUE(std::isfinite(got[t * kRow + 1]));
      EXPECT_NEAR(got[t * kRow + 2], 0.0f, 1e-6);
      EXPECT_NEAR(got[t * kRow + 3], -7.0f, 0.01);
      EXPECT_NEAR(got[t * kRow + 4], 0.0f, 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, KvCodecTest, ::testing::ValuesIn(kAllPaths), PathName);

TEST(KvFormatTest, NamesAreReadBack) {
  for (const char* name : {"f32", "f16", "bf16", "int8", "int4", "int2"})
    EXPECT_STREQ(Name(*ParseKvFormat(name)), name);
  for (const char* name : {"channel", "channel_first", "token"})
    EXPECT_STREQ(Name(*ParseKeyGroups(name)), name);
  EXPECT_EQ(ParseKvFormat("int16"), std::nullopt);
  EXPECT_EQ(ParseKeyGroups(""), std::nullopt);
}

#if defined(__x86_64__)
// The two ways to the integer sums of the AVX-512 path.
TEST(KvPathsTest, VnniChangesNoBit) {
  if (!UsesVnni(Isa::kAvx512)) GTEST_SKIP() << "this CPU lacks VNNI";
  constexpr int kTokens = 100, kHeads = 2, kDim = 64;
  const std::vector<float> x = RandomFloats(kTokens * kHeads * kDim, 1);
  const std::vector<float> q = RandomFloats(3 * 4 * kDim, 2);
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  for (KvFormat format : kQuantised) {
    const KvGroupShape shape{format, KeyGroups::kChannel, kHeads, kDim, RopePairs::kHalves, 0};
    std::vector<Line> keys(KvGroups(kTokens) * kHeads * KvGroupBytes(shape) / 64);
    std::vector<Line> values(keys.size());
    EncodeKeys(Isa::kAvx512, shape, x.data(), kTokens, nullptr, keys[0].bytes);
    EncodeValues(Isa::kAvx512, shape, x.data(), kTokens, values[0].bytes);
    KvSegment segment;
    segment.key_format = segment.value_format = format;
    segment.keys = keys.data();
    segment.values = values.data();
    segment.n_tokens = kTokens - 2;
    segment.causal = true;
    AttentionOp op;
    op.n_rows = 3;
    op.n_heads = 4;
    op.n_kv_heads = kHeads;
    op.head_dim = kDim;
    op.q = q.data();
    op.segments = &segment;
    op.n_segments = 1;
    std::vector<float> one(q.size()), two(q.size());
    op.out = one.data();
    vnni::Attention(op, 0, op.n_units());
    op.out = two.data();
    avx512::Attention(op, 0, op.n_units());
    EXPECT_EQ(one, two) << Name(format);
  }
}
#endif

}  // namespace
}  // namespace dki::kernels
