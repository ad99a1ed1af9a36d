// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <gmock/gmock.h>

#include <cmath>
#include <list>

#include "kernels/attention_state.h"
#include "kernels/kv_codec.h"
#include "kernels/test_paths.h"

namespace dki::kernels {
namespace {

using ::testing::Each;
using ::testing::FloatNear;
using ::testing::Pointwise;

AttentionState RandomState(int n_keys, uint32_t seed) {
  const std::vector<float> logits = RandomFloats(n_keys, seed);
  const std::vector<float> values = RandomFloats(n_keys * 4, seed + 1);
  AttentionState state(4);
  for (int j = 0; j < n_keys; ++j) state.Add(10 * logits[j], &values[j * 4]);
  return state;
}

TEST(AttentionStateTest, MergeIsAssociativeAndCommutative) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const AttentionState a = RandomState(3, seed), b = RandomState(5, seed + 100),
                         c = RandomState(1, seed + 200);
    AttentionState left = a;
    left.MergeFrom(b);
    left.MergeFrom(c);
    AttentionState right = c;
    right.MergeFrom(b);
    AttentionState outer = a;
    outer.MergeFrom(right);
    EXPECT_THAT(left.Output(), Pointwise(FloatNear(1e-6f), outer.Output()));
    EXPECT_EQ(left.softmax.m, outer.softmax.m);
  }
}

TEST(AttentionStateTest, TheEmptyStateIsNeutralAndNeverNan) {
  AttentionState empty(4);
  empty.MergeFrom(AttentionState(4));
  EXPECT_TRUE(empty.softmax.empty());
  EXPECT_THAT(empty.Output(), Each(0.0f));
  const AttentionState a = RandomState(3, 1);
  AttentionState left = empty, right = a;
  left.MergeFrom(a);
  right.MergeFrom(empty);
  EXPECT_EQ(left.Output(), a.Output());
  EXPECT_EQ(right.Output(), a.Output());
  EXPECT_EQ(Share(empty.softmax, a.softmax), 0.0);
  EXPECT_EQ(Share(a.softmax, a.softmax), 1.0);
}

// Three heads a K/V head, channels that no lane count divides, rotated heads, two buffers.
constexpr KvFormat kAllKvFormats[] = {KvFormat::kF32,  KvFormat::kF16,  KvFormat::kBF16,
                                      KvFormat::kInt8, KvFormat::kInt4, KvFormat::kInt2};
constexpr KeyGroups kAllKeyGroups[] = {KeyGroups::kChannel, KeyGroups::kChannelFirst,
                                       KeyGroups::kToken};

class AttentionTest : public PathTest {
 protected:
  static constexpr int kHeads = 6, kKvHeads = 2, kDim = 36, kRot = 32, kTokens = 200, kRows = 11;
  static constexpr int kRow = kKvHeads * kDim;

  AttentionTest()
      : q(RandomFloats(kRows * kHeads * kDim, 1)),
        keys(RandomFloats(kTokens * kRow, 2)),
        values(RandomFloats(kTokens * kRow, 3)),
        rotations(RandomFloats(kRows * kRot, 4)) {
    for (float& v : q) v *= 4;
  }

  KvSegment Segment(int begin, int n, double alpha = 1.0) const {
    KvSegment s;
    s.keys = keys.data();
    s.values = values.data();
    s.begin = begin;
    s.n_tokens = n;
    s.log_alpha = static_cast<float>(std::log(alpha));
    s.rotations = rotations.data();
    return s;
  }

  struct Result {
    std::vector<float> out;
    std::vector<double> mass;  // [kRows, kHeads, n_segments, 2]
    bool operator==(const Result&) const = default;
  };
  Result Run(Isa isa, const std::vector<KvSegment>& segments, int n_parts = 1) const {
    Result r{std::vector<float>(q.size(), NAN),
             std::vector<double>(kRows * kHeads * segments.size() * 2, NAN)};
    const AttentionOp op = Op(segments, &r);
    const int n = op.n_units();
    for (int i = n_parts - 1; i >= 0; --i)
      Attention(isa, op, n * i / n_parts, n * (i + 1) / n_parts);
    return r;
  }
  Result Run(const std::vector<KvSegment>& segments) const { return Run(GetParam(), segments); }
  // One row alone.
  Result Run(std::vector<KvSegment> segments, int row) const {
    for (KvSegment& s : segments) s.rotations += row * kRot;
    Result r{std::vector<float>(q.size(), NAN), {}};
    AttentionOp op = Op(segments, &r);
    op.n_rows = 1;
    op.mass = nullptr;
    op.q += row * kHeads * kDim;
    op.out += row * kHeads * kDim;
    Attention(GetParam(), op, 0, op.n_units());
    return r;
  }
  AttentionOp Op(const std::vector<KvSegment>& segments, Result* r) const {
    AttentionOp op;
    op.n_rows = kRows;
    op.n_heads = kHeads;
    op.n_kv_heads = kKvHeads;
    op.head_dim = kDim;
    op.n_rot = kRot;
    op.scale = 1 / std::sqrt(static_cast<float>(kDim));
    op.q = q.data();
    op.out = r->out.data();
    op.segments = segments.data();
    op.n_segments = static_cast<int>(segments.size());
    op.mass = r->mass.data();
    return op;
  }

  // Stores the keys and values in other formats and points the segment at them.
  void Convert(KvFormat key_format, KvFormat value_format, KeyGroups groups, KvSegment* s) {
    s->key_format = key_format;
    s->value_format = value_format;
    s->key_groups = groups;
    s->keys = Store(key_format, groups, true);
    s->values = Store(value_format, groups, false);
    s->key_rotations = key_rotations.data();
  }
  const void* Store(KvFormat format, KeyGroups groups, bool is_keys) {
    const std::vector<float>& from = is_keys ? keys : values;
    if (format == KvFormat::kF32) return from.data();
    const KvGroupShape shape{format, groups, kKvHeads, kDim, RopePairs::kInterleaved, kRot};
    const size_t bytes =
        IsQuantized(format) ? KvGroups(kTokens) * kKvHeads * KvGroupBytes(shape) : 2 * from.size();
    planes.emplace_back(bytes / 64 + 1);
    auto* to = reinterpret_cast<uint8_t*>(planes.back().data());
    if (!IsQuantized(format))
      QuantizeRow(format == KvFormat::kF16 ? DType::kF16 : DType::kBF16, from.data(), from.size(),
                  to);
    else if (is_keys)
      EncodeKeys(GetParam(), shape, from.data(), kTokens, key_rotations.data(), to);
    else
      EncodeValues(GetParam(), shape, from.data(), kTokens, to);
    return to;
  }
  struct alignas(64) Line {
    uint8_t bytes[64];
  };

  std::vector<float> q, keys, values, rotations;
  std::vector<float> key_rotations = KeyRotations(RopeFrequencies(1e4, kRot, nullptr), 4);
  std::list<std::vector<Line>> planes;
};

TEST_P(AttentionTest, EqualsTheReference) {
  std::vector<float> gates = RandomFloats(kTokens * kKvHeads, 5);
  gates[3] = -INFINITY;
  for (KvFormat format : kAllKvFormats) {
    for (KeyGroups groups : kAllKeyGroups) {
      if (groups != KeyGroups::kChannel && !IsQuantized(format)) continue;
      std::vector<KvSegment> segments = {Segment(3, 100, 0.5), Segment(70, 0), Segment(120, 1, 7.0),
                                         Segment(0, 61), Segment(0, 9, 0.0)};
      segments[0].log_gates = gates.data();
      segments[3].causal = true;
      for (KvSegment& s : segments) Convert(format, format, groups, &s);
      const Result got = Run(segments);
      const Result want = Run(Isa::kReference, segments);
      // Weights of 16 bits where codes are met directly.
      const double tolerance = IsQuantized(format) ? 1e-4 : 3e-6;
      EXPECT_THAT(got.out, Pointwise(FloatNear(tolerance), want.out))
          << Name(format) << " " << Name(groups);
      EXPECT_THAT(got.mass, Pointwise(::testing::DoubleNear(tolerance), want.mass))
          << Name(format) << " " << Name(groups);
    }
  }
}

TEST_P(AttentionTest, FormatsMixInOneCall) {
  std::vector<KvSegment> segments = {Segment(0, 64), Segment(64, 40, 2.0), Segment(32, 50),
                                     Segment(100, 30), Segment(7, 150)};
  Convert(KvFormat::kInt8, KvFormat::kF16, KeyGroups::kChannel, &segments[0]);
  Convert(KvFormat::kF32, KvFormat::kInt4, KeyGroups::kChannel, &segments[1]);
  Convert(KvFormat::kInt2, KvFormat::kInt8, KeyGroups::kToken, &segments[2]);
  Convert(KvFormat::kInt4, KvFormat::kBF16, KeyGroups::kChannelFirst, &segments[3]);
  const Result got = Run(segments);
  const Result want = Run(Isa::kReference, segments);
  EXPECT_THAT(got.out, Pointwise(FloatNear(1e-4f), want.out));
  EXPECT_THAT(got.mass, Pointwise(::testing::DoubleNear(1e-4), want.mass));
}

// P11: rows that are taken together, and how a segment is cut, change no bit, in any format.
TEST_P(AttentionTest, ARowAloneIsTheSameToTheBit) {
  for (KvFormat format : kAllKvFormats) {
    for (KeyGroups groups : kAllKeyGroups) {
      KvSegment whole = Segment(7, 150, 3.0);
      whole.causal = true;
      Convert(format, format, groups, &whole);
      const Result together = Run({whole, Segment(0, 40)});
      for (int row = 0; row < kRows; ++row) {
        KvSegment first = whole, rest = whole;
        first.causal = false;
        first.n_tokens = 128 - 7;
        rest.begin = 128;
        rest.n_tokens = 150 + 7 - 128 + row;
        rest.causal = false;
        const Result alone = Run({first, rest, Segment(0, 40)}, row);
        for (int i = row * kHeads * kDim; i < (row + 1) * kHeads * kDim; ++i)
          ASSERT_EQ(alone.out[i], together.out[i]) << Name(format) << " " << Name(groups);
      }
    }
  }
}

TEST_P(AttentionTest, ASegmentCutAtATileIsTheSameToTheBit) {
  const Result whole = Run({Segment(7, 190, 3.0)});
  for (int cut : {64, 128})
    EXPECT_EQ(Run({Segment(7, cut - 7, 3.0), Segment(cut, 197 - cut, 3.0)}).out, whole.out);
  for (int n_parts : {2, 5, 12})  // however the units are dealt
    EXPECT_EQ(Run(GetParam(), {Segment(7, 190, 3.0)}, n_parts), whole);
}

// The definition: softmax over all keys at once.
TEST_P(AttentionTest, AlphaOneIsThePlainConcatenation) {
  const std::vector<KvSegment> segments = {Segment(10, 30), Segment(100, 77)};
  const Result got = Run(segments);
  std::vector<float> rotated(kDim);
  for (int row = 0; row < kRows; ++row) {
    for (int head = 0; head < kHeads; ++head) {
      const int at = (row * kHeads + head) * kDim;
      ApplyRope(RopePairs::kInterleaved, &rotations[row * kRot], kRot, 1, kDim, &q[at],
                rotated.data());
      std::vector<double> o(kDim, 0.0);
      double d = 0;
      double first = 0;
      for (const KvSegment& s : segments) {
        for (int j = s.begin; j < s.begin + s.n_tokens; ++j) {
          const size_t kv = static_cast<size_t>(j) * kRow + head / 3 * kDim;
          double dot = 0;
          for (int c = 0; c < kDim; ++c) dot += static_cast<double>(rotated[c]) * keys[kv + c];
          const double p = std::exp(dot / std::sqrt(static_cast<double>(kDim)));
          d += p;
          if (s.begin == 10) first += p;
          for (int c = 0; c < kDim; ++c) o[c] += p * values[kv + c];
        }
      }
      for (int c = 0; c < kDim; ++c) ASSERT_NEAR(got.out[at + c], o[c] / d, 3e-6);
      const double* mass = &got.mass[(row * kHeads + head) * 4];
      EXPECT_NEAR(mass[0], first / d, 3e-6);
      EXPECT_NEAR(mass[0], mass[1], 1e-6);
      EXPECT_NEAR(mass[0] + mass[2], 1.0, 1e-6);
    }
  }
}

TEST_P(AttentionTest, MassGrowsWithAlphaAndTheUnbiasedOneStays) {
  const std::vector<double> at_one = Run({Segment(0, 50, 1.0), Segment(80, 60)}).mass;
  std::vector<double> before(kRows * kHeads, 0.0);
  for (double alpha : {1e-6, 0.01, 0.5, 1.0, 2.0, 16.0}) {
    const Result r = Run({Segment(0, 50, alpha), Segment(80, 60)});
    for (int i = 0; i < kRows * kHeads; ++i) {
      const double s = at_one[i * 4];
      EXPECT_GT(r.mass[i * 4], before[i]);
      EXPECT_NEAR(r.mass[i * 4], alpha * s / (alpha * s + 1 - s), 1e-5);  // S1.1
      EXPECT_NEAR(r.mass[i * 4 + 1], s, 1e-6);
      before[i] = r.mass[i * 4];
    }
  }
}

TEST_P(AttentionTest, AlphaZeroIsAbsenceToTheBit) {
  const Result without = Run({Segment(80, 60)});
  const Result with = Run({Segment(0, 50, 0.0), Segment(80, 60)});
  EXPECT_EQ(with.out, without.out);
  EXPECT_EQ(with.mass[0], 0.0);
  EXPECT_EQ(with.mass[1], 0.0);
  EXPECT_THAT(Run({Segment(0, 50, 0.0)}).out, Each(0.0f));  // no key at all
}

TEST_P(AttentionTest, AWindowIsTheSegmentFromThereOnForEachRow) {
  // Before the segment, within it, beyond it.
  const int first_visible[kRows] = {5, 100, 1000, 64, 65, 7, 0, 128, 190, 100, 100};
  KvSegment windowed = Segment(7, 190, 3.0);
  windowed.first_visible = first_visible;
  const Result got = Run({windowed, Segment(0, 40)});
  const Result whole = Run({Segment(7, 190, 3.0), Segment(0, 40)});
  const Result half = Run({Segment(100, 97, 3.0), Segment(0, 40)});
  const Result none = Run({Segment(7, 0, 3.0), Segment(0, 40)});
  const auto row = [](const Result& r, int i) {
    return std::vector<float>(r.out.begin() + i * kHeads * kDim,
                              r.out.begin() + (i + 1) * kHeads * kDim);
  };
  EXPECT_EQ(row(got, 0), row(whole, 0));
  EXPECT_EQ(row(got, 1), row(half, 1));
  EXPECT_EQ(row(got, 2), row(none, 2));
  EXPECT_EQ(got.mass[(2 * kHeads) * 4], 0.0);
}

INSTANTIATE_TEST_SUITE_P(Paths, AttentionTest, ::testing::ValuesIn(kAllPaths), PathName);

}  // namespace
}  // namespace dki::kernels
