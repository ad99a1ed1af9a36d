// SPDX-License-Identifier: Apache-2.0
// Matches of queries with keys, gates of tokens, and values that are refined, on the tiny model.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "libs/model/model.h"
#include "libs/model/model_promises.h"
#include "libs/model/value_refinement.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::model {
namespace {

using dki::testing::StatusIs;
using ::testing::HasSubstr;

class TokenGatesTest : public ::testing::Test {
 protected:
  TokenGatesTest()
      : model_(*Model::Load(testing::WriteTinyModel(folder_.path()), {.n_threads = 2})) {}

  KeyMatch MatchOf(MatchPool pool) {
    KeyMatch match{.pool = pool};
    match.runs.push_back({.kv = &case_.memory_kv, .begin = 3, .n_tokens = 30});
    return match;
  }
  // The turn read in chunks of `length`, with a neighbour in the batch or not.
  KeyMatch Matched(MatchPool pool, int length, bool neighbour) {
    KeyMatch match = MatchOf(pool);
    KvBuffer context(model_->kv_shape(), 0);
    KvBuffer other_context(model_->kv_shape(), 0);
    const Tokens other = MakeTokens(*model_, 9, 6);
    for (int at = 0; at < static_cast<int>(case_.turn.size()); at += length) {
      const auto rest = std::span<const int32_t>(case_.turn).subspan(at);
      std::vector<Chunk> chunks;
      if (neighbour) chunks.push_back({.tokens = other, .context = &other_context, .segments = {}});
      chunks.push_back({.tokens = rest.first(std::min<size_t>(rest.size(), length)),
                        .context = &context,
                        .context_offset = static_cast<double>(case_.n_prefix()),
                        .segments = {{.kv = &case_.prefix_kv, .n_tokens = case_.n_prefix()}},
                        .match = &match});
      EXPECT_OK(model_->Forward(chunks));
    }
    return match;
  }
  LayerGates Ones(float log_gate) const {
    const ModelConfig& config = model_->config();
    LayerGates gates{.n_tokens = case_.n_memory()};
    gates.log_gates.assign(size_t{1} * config.n_layers * case_.n_memory() * config.n_kv_heads,
                           log_gate);
    return gates;
  }
  Logits Turn(const LayerGates* gates, double alpha, int length = 1000) {
    KvBuffer context(model_->kv_shape(), 0);
    Logits all;
    for (size_t at = 0; at < case_.turn.size(); at += length) {
      const auto rest = std::span<const int32_t>(case_.turn).subspan(at);
      const Logits part =
          RunChunk(*model_, {.tokens = rest.first(std::min<size_t>(rest.size(), length)),
                             .context = &context,
                             .context_offset = case_.memory_end(),
                             .segments = {{.kv = &case_.prefix_kv, .n_tokens = case_.n_prefix()},
                                          {.kv = &case_.memory_kv,
                                           .n_tokens = case_.n_memory(),
                                           .offset = static_cast<double>(case_.n_prefix()),
                                           .alpha = alpha,
                                           .gates = gates}},
                             .logits = LogitsWanted::kAll});
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  testing::TempDir folder_;
  std::unique_ptr<Model> model_;
  MemoryCase case_{*model_, 12, 80, 20};
};

// The first layer sees the embeddings alone: without rotation the same token has the same key and
// query at whatever place it stands. So a plain computation needs no other model.
TEST_F(TokenGatesTest, ScoresAreThoseOfUnrotatedKeysAndQueries) {
  const ModelConfig& config = model_->config();
  const KeyMatch max = Matched(MatchPool::kMax, 1000, false);
  const KeyMatch mean = Matched(MatchPool::kMean, 1000, false);
  ASSERT_EQ(max.rows, 20);
  const KeyRun& run = max.runs[0];
  ASSERT_EQ(run.scores.size(), size_t{1} * config.n_layers * 30 * config.n_kv_heads);
  const double bound = std::sqrt(config.head_dim) + 1e-4;  // of two normalised vectors
  const int group = config.n_heads / config.n_kv_heads;
  bool differ = false;
  for (size_t i = 0; i < run.scores.size(); ++i) {
    const double greatest = max.Score(run, i, group);
    const double average = mean.Score(mean.runs[0], i, group);
    ASSERT_LE(std::fabs(greatest), bound);
    ASSERT_LE(average, greatest + 1e-6);
    differ |= average < greatest - 1e-3;
  }
  EXPECT_TRUE(differ);

  // A memory of one token, at another place, has the same score in the first layer.
  KvBuffer alone(model_->kv_shape(), 0);
  RunOn(*model_, std::span(case_.memory).subspan(10, 1), &alone, LogitsWanted::kNone);
  KeyMatch match{.pool = MatchPool::kMax};
  match.runs.push_back({.kv = &alone, .n_tokens = 1});
  KvBuffer context(model_->kv_shape(), 0);
  RunChunk(*model_, {.tokens = case_.turn,
                     .context = &context,
                     .context_offset = 77.5,
                     .segments = {},
                     .match = &match});
  for (int g = 0; g < config.n_kv_heads; ++g) {
    EXPECT_NEAR(match.runs[0].scores[g], run.scores[7 * config.n_kv_heads + g], 1e-4);
  }
}

// The plain computation. A row's query at position 0 is what keys along each channel, in front of
// it at position 0, get of the attention beside a key of zeros.
TEST_F(TokenGatesTest, ScoresAreAPlainComputation) {
  const ModelConfig& config = model_->config();
  const int d = config.head_dim;
  std::vector<KvBuffer> probes;
  for (int c = 0; c <= d; ++c) {
    KvBuffer& kv = probes.emplace_back(model_->kv_shape(), 1);
    kv.Resize(1);
    for (int layer = 0; layer < config.n_layers; ++layer) {
      std::fill_n(kv.keys(layer, 0), config.n_kv_heads * d, 0.0f);
      std::fill_n(kv.values(layer, 0), config.n_kv_heads * d, 0.0f);
      for (int g = 0; c < d && g < config.n_kv_heads; ++g) kv.keys(layer, 0)[g * d + c] = 1.0f;
    }
  }
  std::vector<Segment> segments;
  for (const KvBuffer& kv : probes) segments.push_back({.kv = &kv, .n_tokens = 1});
  KeyMatch match = MatchOf(MatchPool::kMean);
  AttentionMass mass;
  KvBuffer context(model_->kv_shape(), 0);
  RunChunk(*model_, {.tokens = std::span(case_.turn).first(1),
                     .context = &context,
                     .segments = segments,
                     .mass = &mass,
                     .match = &match});
  const auto rms = [d](const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) sum += v * v;
    return std::sqrt(sum / d + 1e-6);
  };
  const int group = config.n_heads / config.n_kv_heads;
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (int g = 0; g < config.n_kv_heads; ++g) {
      for (const int j : {0, 29}) {
        const int token = 3 + j;  // of the memory: its key is rotated by `token`
        const float* rotated = case_.memory_kv.keys(layer, token) + g * d;
        std::vector<double> key(rotated, rotated + d);
        const int n_pairs = config.rope.n_rot / 2;
        for (int i = 0; i < n_pairs; ++i) {
          const bool halves = config.rope.pairing == RopePairing::kHalves;
          const int x = halves ? i : 2 * i;
          const int y = halves ? i + n_pairs : 2 * i + 1;
          const double angle = -token * std::pow(config.rope.theta, -2.0 * i / config.rope.n_rot);
          key[x] = rotated[x] * std::cos(angle) - rotated[y] * std::sin(angle);
          key[y] = rotated[x] * std::sin(angle) + rotated[y] * std::cos(angle);
        }
        double want = 0;
        for (int h = g * group; h < (g + 1) * group; ++h) {
          std::vector<double> q(d);
          for (int c = 0; c < d; ++c) {
            q[c] = std::log(mass.biased[mass.at(layer, h, c)] / mass.biased[mass.at(layer, h, d)]) /
                   config.attention_scale;
          }
          double dot = 0;
          for (int c = 0; c < d; ++c) dot += q[c] * key[c];
          want += dot / (rms(q) * rms(key) * std::sqrt(d)) / group;
        }
        const size_t at = (size_t{1} * layer * 30 + j) * config.n_kv_heads + g;
        EXPECT_NEAR(match.Score(match.runs[0], at, group), want, 1e-3) << layer << " " << j;
      }
    }
  }
}

TEST_F(TokenGatesTest, ScoresDoNotDependOnChunksOrNeighbours) {
  for (const MatchPool pool : {MatchPool::kMax, MatchPool::kMean}) {
    const KeyMatch whole = Matched(pool, 1000, false);
    for (const int length : {1, 3, 7}) {
      EXPECT_EQ(Matched(pool, length, length == 3).runs[0].scores, whole.runs[0].scores);
    }
  }
}

TEST_F(TokenGatesTest, AMatchOfOtherBuffersIsRefused) {
  KeyMatch match = MatchOf(MatchPool::kMax);
  match.runs[0].n_tokens = 1000;
  KvBuffer context(model_->kv_shape(), 0);
  Chunk chunk{.tokens = case_.turn, .context = &context, .segments = {}, .match = &match};
  EXPECT_THAT(model_->Forward({&chunk, 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("match")));
}

TEST_F(TokenGatesTest, ConstantGatesAreAWeight) {
  const LayerGates none = Ones(0.0f);
  EXPECT_EQ(Turn(&none, 1.0), Turn(nullptr, 1.0));
  const LayerGates half = Ones(static_cast<float>(std::log(0.5)));
  EXPECT_LT(Difference(Turn(&half, 2.0), Turn(nullptr, 1.0)), 1e-4);
  EXPECT_GT(Difference(Turn(&half, 1.0), Turn(nullptr, 1.0)), 1e-4);
  EXPECT_EQ(Turn(&half, 1.0, 3), Turn(&half, 1.0));  // P11
}

TEST_F(TokenGatesTest, GatesAreOfTheirTokensLayersAndHeads) {
  const ModelConfig& config = model_->config();
  // All tokens but one closed: as if the others were not there. The one is on the second page.
  LayerGates gates = Ones(-1e4f);
  const int kept = 70;
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (int g = 0; g < config.n_kv_heads; ++g) {
      gates.log_gates[(static_cast<size_t>(layer) * case_.n_memory() + kept) * config.n_kv_heads +
                      g] = 0.0f;
    }
  }
  KvBuffer context(model_->kv_shape(), 0);
  const Logits want =
      RunChunk(*model_, {.tokens = case_.turn,
                         .context = &context,
                         .context_offset = case_.memory_end(),
                         .segments = {{.kv = &case_.prefix_kv, .n_tokens = case_.n_prefix()},
                                      {.kv = &case_.memory_kv,
                                       .begin = kept,
                                       .n_tokens = 1,
                                       .offset = static_cast<double>(case_.n_prefix())}},
                         .logits = LogitsWanted::kAll});
  EXPECT_LT(Difference(Turn(&gates, 1.0), want), 1e-4);
}

TEST_F(TokenGatesTest, OutsideItsLayersASegmentIsNotAttendedTo) {
  LayerGates gates{.n_tokens = case_.n_memory()};
  gates.attended.assign(model_->config().n_layers, 0);
  const Logits without = Turn(nullptr, 0.0);
  EXPECT_EQ(Turn(&gates, 1.0), without);
  gates.attended.back() = 1;
  const Logits last = Turn(&gates, 1.0);
  EXPECT_GT(Difference(last, without), 1e-4);
  EXPECT_GT(Difference(last, Turn(nullptr, 1.0)), 1e-4);
  gates.attended.assign(model_->config().n_layers, 1);
  EXPECT_EQ(Turn(&gates, 1.0), Turn(nullptr, 1.0));
  EXPECT_EQ(Turn(&gates, 0.0), without);
  gates.attended.pop_back();
  KvBuffer context(model_->kv_shape(), 0);
  Chunk chunk{.tokens = case_.turn,
              .context = &context,
              .segments = {{.kv = &case_.memory_kv, .n_tokens = 5, .gates = &gates}}};
  EXPECT_THAT(model_->Forward({&chunk, 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("segments[0].gates")));
}

TEST_F(TokenGatesTest, RefinementIsTheIdentityAtFirstAndAConvolutionLater) {
  const int head_dim = model_->config().head_dim;
  ValueRefinement refinement{.kernel = 2, .dilation = 2};
  refinement.norm.assign(head_dim, 1.0f);
  refinement.bias.assign(head_dim, 0.0f);
  refinement.weights.assign(size_t{2} * head_dim, 0.0f);
  ASSERT_OK_AND_ASSIGN(const KvBuffer same, RefineValues(refinement, case_.memory_kv, 0));
  EXPECT_TRUE(SameKv(same, case_.memory_kv));

  refinement.weights[0] = 3.0f;  // channel 0, two tokens back
  ASSERT_OK_AND_ASSIGN(const KvBuffer refined, RefineValues(refinement, case_.memory_kv, 1));
  const float* back = case_.memory_kv.values(0, 5);
  double squares = 0;
  for (int c = 0; c < head_dim; ++c) squares += double{back[c]} * back[c];
  const double sum = 3.0 * back[0] / std::sqrt(squares / head_dim + 1e-6);
  EXPECT_NEAR(refined.values(0, 7)[0], case_.memory_kv.values(0, 7)[0] + sum / (1 + std::exp(-sum)),
              1e-5);
  EXPECT_EQ(refined.values(0, 7)[1], case_.memory_kv.values(0, 7)[1]);
  EXPECT_EQ(refined.values(0, 2)[0], case_.memory_kv.values(0, 2)[0]);  // nothing two back
  EXPECT_EQ(refined.keys(0, 7)[0], case_.memory_kv.keys(0, 7)[0]);
}

TEST(ValueRefinement, IsReadStrictly) {
  ASSERT_OK_AND_ASSIGN(const ValueRefinement read,
                       ParseValueRefinement(R"({"kernel":1,"norm":[1],"weights":[2],"bias":[0]})"));
  EXPECT_EQ(read.weights[0], 2.0f);
  for (const char* text : {"[]", "{}", R"({"kernel":2,"norm":[1],"weights":[2],"bias":[0]})",
                           R"({"kernel":0,"norm":[1],"weights":[],"bias":[0]})",
                           R"({"norm":[1],"weights":[1,2,3,4],"bias":[0],"more":1})"}) {
    EXPECT_THAT(ParseValueRefinement(text).status(), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
  KvBuffer kv({1, 1, 8}, 1);
  kv.Resize(1);
  EXPECT_THAT(RefineValues(read, kv, 0).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace dki::model
