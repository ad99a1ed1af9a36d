// SPDX-License-Identifier: Apache-2.0
#include "libs/model/kv_codec.h"

#include <gmock/gmock.h>

#include <random>

#include "libs/model/kv_rounding.h"
#include "libs/model/model_promises.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::model {
namespace {

using dki::testing::StatusIs;
using dki::testing::TempDir;
using dki::testing::WriteTinyModel;
using ::testing::HasSubstr;

TEST(KvCodecTest, NamesAreReadBackAndOthersRefused) {
  for (const char* name :
       {"f32", "f16", "int8", "int4:channel_first/int4", "int4:token/f32", "f32/int2"}) {
    const absl::StatusOr<KvCodec> codec = ParseKvCodec(name);
    ASSERT_OK(codec);
    EXPECT_EQ(Name(*codec), name);
  }
  for (const char* name : {"", "int3", "int8/", "int8:rows", "int8/int8:token", "int8:"}) {
    EXPECT_THAT(ParseKvCodec(name).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kv_format")))
        << name;
  }
}

class CodedContextTest : public ::testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Model> Load(const std::string& kv_format, int n_threads = 2) {
    absl::StatusOr<std::unique_ptr<Model>> model =
        Model::Load(path_, {.n_threads = n_threads, .kv_format = kv_format});
    EXPECT_OK(model);
    return *std::move(model);
  }
  TempDir dir_;
  std::string path_ = WriteTinyModel(dir_.path());
};

TEST_P(CodedContextTest, KeepsThePromises) {
  const std::unique_ptr<Model> model = Load(GetParam());
  ExpectChunkingChangesNothing(*model, 200);
  for (const int n_prefix : {37, 64, 129}) ExpectSharingChangesNothing(*model, n_prefix, 12);
  MemoryCase c(*model, 70, 130, 9);
  ExpectAlphaZeroIsVanilla(*model, c);
  const Tokens tokens = MakeTokens(*model, 150, 6);
  KvBuffer context(model->kv_shape(), 0);
  const Logits want = RunOn(*model, tokens, &context);
  for (int n_threads : {1, 3}) {
    const std::unique_ptr<Model> other = Load(GetParam(), n_threads);
    KvBuffer again(other->kv_shape(), 0);
    EXPECT_EQ(RunOn(*other, tokens, &again), want) << n_threads;
  }
}

// The floats stay, so a context may be cut anywhere and go on.
TEST_P(CodedContextTest, ACutContextGoesOnAsIfItHadNeverBeenLonger) {
  const std::unique_ptr<Model> model = Load(GetParam());
  const Tokens first = MakeTokens(*model, 150, 1), other = MakeTokens(*model, 60, 2);
  KvBuffer cut(model->kv_shape(), 0), fresh(model->kv_shape(), 0);
  RunOn(*model, first, &cut);
  cut.Resize(50);
  RunOn(*model, std::span(first).first(50), &fresh);
  EXPECT_EQ(RunOn(*model, other, &cut), RunOn(*model, other, &fresh));
}

// K/V that comes from a cache is floats only.
TEST_P(CodedContextTest, FullPagesFromElsewhereAreReadTheSameWay) {
  const std::unique_ptr<Model> model = Load(GetParam());
  KvBuffer computed = Prefill(*model, MakeTokens(*model, 150, 1));
  KvBuffer loaded(model->kv_shape(), 150);
  for (int layer = 0; layer < computed.shape().n_layers; ++layer) {
    for (int token = 0; token < 150; ++token) {
      const size_t n = computed.shape().row_size();
      std::copy_n(computed.keys(layer, token), n, loaded.keys(layer, token));
      std::copy_n(computed.values(layer, token), n, loaded.values(layer, token));
    }
  }
  loaded.Resize(150);
  const Tokens turn = MakeTokens(*model, 5, 2);
  const auto run = [&](const KvBuffer& memory) {
    KvBuffer context(model->kv_shape(), 0);
    return RunChunk(*model, {.tokens = turn,
                             .context = &context,
                             .context_offset = 150,
                             .segments = {{.kv = &memory, .n_tokens = 150}},
                             .logits = LogitsWanted::kAll});
  };
  EXPECT_EQ(run(loaded), run(computed));
}

TEST_P(CodedContextTest, ReadsItsFormatBehindTheFirstPageOnly) {
  const std::unique_ptr<Model> exact = Load("f32"), model = Load(GetParam());
  const Tokens tokens = MakeTokens(*model, 128, 1);
  KvBuffer a(exact->kv_shape(), 0), b(model->kv_shape(), 0);
  const Logits want = RunOn(*exact, tokens, &a), got = RunOn(*model, tokens, &b);
  const size_t page = size_t{64} * model->config().vocab_size;
  EXPECT_TRUE(std::equal(got.begin(), got.begin() + page, want.begin()));
  const Logits rest(got.begin() + page, got.end()), exact_rest(want.begin() + page, want.end());
  EXPECT_GT(Difference(rest, exact_rest), 0.0);
  EXPECT_LT(Difference(rest, exact_rest), std::string(GetParam()).starts_with("int8") ? 0.02 : 0.3);
  EXPECT_GT(b.pages()[0]->size_bytes(), a.pages()[0]->size_bytes());
}

TEST(KvRoundingTest, BlocksOfAnyLengthComeBackWithinTheirFormat) {
  const KvShape shape{2, 3, 16};
  std::mt19937 engine(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (const int n : {0, 1, 7, 8, 37, 64, 70, 100, 135}) {
    KvBuffer kv(shape, n + 5);
    kv.Resize(n + 5);
    for (int layer = 0; layer < shape.n_layers; ++layer) {
      for (int token = 0; token < n + 5; ++token) {
        for (int c = 0; c < shape.row_size(); ++c) {
          kv.keys(layer, token)[c] = uniform(engine);
          kv.values(layer, token)[c] = uniform(engine);
        }
      }
    }
    // Half a step of the range [-1, 1]; a rotation spreads it over two channels.
    for (auto [name, key_step, value_step] : {std::tuple{"f32", 0.0, 0.0},
                                              {"bf16", 1.96e-3, 1.96e-3},
                                              {"int8", 1.01 / 255, 1.01 / 255},
                                              {"int4/int2", 1.01 / 15, 1.01 / 3},
                                              {"int4:channel_first/f16", 2.02 / 15, 2.45e-4}}) {
      KvCodec codec = *ParseKvCodec(name);
      codec.n_rot = 16;
      const KvBuffer got = RoundThrough(kv, n, codec, kernels::BestIsa(),
                                        kernels::RopeFrequencies(1e4, codec.n_rot, nullptr));
      ASSERT_EQ(got.size(), n);
      double key_error = 0, value_error = 0;
      for (int layer = 0; layer < shape.n_layers; ++layer) {
        for (int token = 0; token < n; ++token) {
          for (int c = 0; c < shape.row_size(); ++c) {
            key_error = std::max<double>(
                key_error, std::fabs(got.keys(layer, token)[c] - kv.keys(layer, token)[c]));
            value_error = std::max<double>(
                value_error, std::fabs(got.values(layer, token)[c] - kv.values(layer, token)[c]));
          }
        }
      }
      EXPECT_LE(key_error, key_step) << name << " " << n;
      EXPECT_LE(value_error, value_step) << name << " " << n;
      if (n > 70) {
        EXPECT_GE(key_error, 0.5 * key_step) << name << " " << n;
        EXPECT_GE(value_error, 0.5 * value_step) << name << " " << n;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, CodedContextTest,
                         ::testing::Values("f16", "int8", "int8:token/int8", "int4/int8",
                                           "int4:channel_first/int4", "f32/int8", "int8/f32"),
                         [](const auto& info) { return "Format" + std::to_string(info.index); });

}  // namespace
}  // namespace dki::model
