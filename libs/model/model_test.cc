// SPDX-License-Identifier: Apache-2.0
// The runtime on a tiny model, on every path.
#include "libs/model/model.h"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "kernels/isa.h"
#include "libs/base/check.h"
#include "libs/base/file.h"
#include "libs/model/model_promises.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::model {
namespace {

using ::dki::testing::StatusIs;
using ::dki::testing::TempDir;
using ::dki::testing::TinyModelOptions;
using ::dki::testing::WriteTinyModel;
using kernels::DType;
using ::testing::HasSubstr;

std::unique_ptr<Model> LoadOrDie(const std::string& path, const ModelOptions& options = {}) {
  absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(path, options);
  DKI_CHECK(model.ok());
  return *std::move(model);
}

struct Path {
  std::string isa, activations;
};

class ModelTest : public ::testing::TestWithParam<Path> {
 protected:
  void SetUp() override {
    if (!kernels::ChooseIsa(GetParam().isa).has_value()) GTEST_SKIP() << "this CPU lacks the path";
    path_ = WriteTinyModel(dir_.path());
    model_ = Load(2);
  }
  std::unique_ptr<Model> Load(int n_threads) {
    return LoadOrDie(path_, {n_threads, GetParam().isa, GetParam().activations});
  }
  // K/V is rotated in other frames and so rounded otherwise; steps of 16-bit activations may
  // fall otherwise.
  double p2_tolerance() const { return GetParam().activations == "int16" ? 1e-3 : 1e-4; }

  TempDir dir_;
  std::string path_;
  std::unique_ptr<Model> model_;
};

TEST_P(ModelTest, ChunksNeighboursAndThreadsChangeNothing) {
  ExpectChunkingChangesNothing(*model_, 150);
  ExpectLayersInPartsChangeNothing(*model_, 150);
  for (const int n_prefix : {37, 64, 129}) ExpectSharingChangesNothing(*model_, n_prefix, 12);
  const Tokens tokens = MakeTokens(*model_, 90, 6);
  KvBuffer context(model_->kv_shape(), 0);
  const Logits want = RunOn(*model_, tokens, &context);
  for (int n_threads : {1, 3}) {
    const std::unique_ptr<Model> other = Load(n_threads);
    KvBuffer again(other->kv_shape(), 0);
    EXPECT_EQ(RunOn(*other, tokens, &again), want) << n_threads;
  }
}

TEST_P(ModelTest, AlphaZeroIsVanillaAndOneIsThePrompt) {
  for (auto [prefix, memory, turn] : {std::tuple{20, 70, 9}, {64, 64, 1}, {3, 1, 70}}) {
    MemoryCase c(*model_, prefix, memory, turn);
    ExpectAlphaZeroIsVanilla(*model_, c);
    ExpectAlphaOneIsThePrompt(*model_, c, p2_tolerance());
  }
}

TEST_P(ModelTest, SmallAlphaApproachesVanilla) {
  MemoryCase c(*model_, 12, 40, 8);
  const Logits vanilla = c.Vanilla(*model_);
  double last = 0;
  for (double alpha : {1e-6, 1e-4, 1e-2, 0.1, 1.0}) {  // sliding placement: both ends exact
    const double difference =
        Difference(c.Turn(*model_, alpha, c.n_prefix() + alpha * c.n_memory()), vanilla);
    if (GetParam().activations == "float") {
      EXPECT_GT(difference, last) << alpha;
    }
    last = difference;
  }
  EXPECT_GT(last, 0.05);
  EXPECT_LT(Difference(c.Turn(*model_, 1e-7, c.n_prefix()), vanilla), p2_tolerance());
}

TEST_P(ModelTest, EveryLawIsVanillaAtZeroAndThePromptAtOne) {
  MemoryCase c(*model_, 12, 40, 8);
  const Logits one = c.Turn(*model_, 1.0, c.memory_end());
  for (const AttentionLaw law : {AttentionLaw::kBlend, AttentionLaw::kValues}) {
    EXPECT_EQ(c.Turn(*model_, 1.0, c.memory_end(), nullptr, {.law = law}), one);
    EXPECT_EQ(c.Turn(*model_, 0.0, c.n_prefix(), nullptr, {.law = law}), c.Vanilla(*model_));
    EXPECT_NE(c.Turn(*model_, 0.5, c.memory_end(), nullptr, {.law = law}), one);
  }
}

TEST_P(ModelTest, ABlendApproachesVanillaAndValuesDoNot) {
  MemoryCase c(*model_, 12, 40, 8);
  const Logits vanilla = c.Vanilla(*model_);
  const double tiny = 1e-7;
  EXPECT_LT(Difference(c.Turn(*model_, tiny, c.n_prefix(), nullptr, {.law = AttentionLaw::kBlend}),
                       vanilla),
            p2_tolerance());
  EXPECT_GT(Difference(c.Turn(*model_, tiny, c.n_prefix(), nullptr, {.law = AttentionLaw::kValues}),
                       vanilla),
            0.02);
}

// The seeds' law, computed as they did: the memory's values themselves times alpha.
TEST_P(ModelTest, ValuesAreScaledAsTheSeedsScaledThem) {
  MemoryCase c(*model_, 12, 40, 8);
  const double alpha = 0.25;
  AttentionMass mass;
  const Logits law = c.Turn(*model_, alpha, c.memory_end(), &mass, {.law = AttentionLaw::kValues});
  for (size_t column = 0; column < 3; ++column) {
    EXPECT_NEAR(mass.biased[column], mass.unbiased[column] * (column == 1 ? alpha : 1.0), 1e-9);
  }
  const KvShape shape = model_->kv_shape();
  for (int layer = 0; layer < shape.n_layers; ++layer) {
    for (int token = 0; token < c.n_memory(); ++token) {
      float* values = c.memory_kv.values(layer, token);
      for (int i = 0; i < shape.row_size(); ++i) values[i] *= static_cast<float>(alpha);
    }
  }
  EXPECT_LT(Difference(law, c.Turn(*model_, 1.0, c.memory_end())), p2_tolerance());
}

TEST_P(ModelTest, WeightsHoldInTheLayersOfTheRule) {
  MemoryCase c(*model_, 12, 40, 8);
  const int n_layers = model_->config().n_layers;
  const auto turn = [&](int first, int end, AttentionMass* mass = nullptr) {
    return c.Turn(*model_, 4.0, c.memory_end(), mass, {.first_layer = first, .end_layer = end});
  };
  EXPECT_EQ(turn(0, n_layers), c.Turn(*model_, 4.0, c.memory_end()));
  EXPECT_EQ(turn(n_layers, n_layers + 1), c.Turn(*model_, 1.0, c.memory_end()));
  AttentionMass mass;
  turn(1, n_layers, &mass);
  EXPECT_EQ(mass.biased[mass.at(0, 0, 1)], mass.unbiased[mass.at(0, 0, 1)]);
  EXPECT_GT(mass.biased[mass.at(1, 0, 1)], mass.unbiased[mass.at(1, 0, 1)]);
}

TEST_P(ModelTest, OtherLawsKnowOneWeight) {
  MemoryCase c(*model_, 4, 5, 2);
  KvBuffer context(model_->kv_shape(), 0);
  Chunk chunk{.tokens = c.turn,
              .context = &context,
              .segments = {{.kv = &c.prefix_kv, .n_tokens = 4, .alpha = 0.5},
                           {.kv = &c.memory_kv, .n_tokens = 5, .alpha = 0.25}},
              .rule = {.law = AttentionLaw::kBlend}};
  EXPECT_THAT(model_->Forward({&chunk, 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("segments[1].alpha")));
  chunk.segments[0].alpha = 1.0;
  chunk.segments[1].alpha = 1.5;
  EXPECT_THAT(model_->Forward({&chunk, 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 1")));
}

// A pack prefilled line by line, in one call with a chunk per line, or all but the last from
// before.
TEST_P(ModelTest, LinesOfAPackInOneCallAreTheSameToTheBit) {
  const Tokens lines[] = {MakeTokens(*model_, 9, 1), MakeTokens(*model_, 70, 2),
                          MakeTokens(*model_, 5, 3)};
  const auto chunks = [&](std::vector<KvBuffer>& kv) {
    std::vector<Chunk> out(3);
    double offset = 0;
    for (int i = 0; i < 3; ++i) {
      out[i].tokens = lines[i];
      out[i].context = &kv[i];
      out[i].context_offset = offset;
      out[i].logits = LogitsWanted::kLast;
      double before = 0;
      for (int j = 0; j < i; before += static_cast<double>(lines[j++].size()))
        out[i].segments.push_back(
            {.kv = &kv[j], .n_tokens = static_cast<int>(lines[j].size()), .offset = before});
      offset += static_cast<double>(lines[i].size());
    }
    return out;
  };
  const auto buffers = [&] {
    std::vector<KvBuffer> kv;
    for (int i = 0; i < 3; ++i) kv.emplace_back(model_->kv_shape(), 0);
    return kv;
  };
  std::vector<KvBuffer> together = buffers(), apart = buffers();
  std::vector<Chunk> joint = chunks(together);
  ASSERT_OK_AND_ASSIGN(const Logits want, model_->Forward(joint));
  Logits got;
  for (Chunk& chunk : chunks(apart)) {
    const Logits part = RunChunk(*model_, chunk);
    got.insert(got.end(), part.begin(), part.end());
  }
  EXPECT_EQ(got, want);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(SameKv(together[i], apart[i]));
}

TEST_P(ModelTest, MassSumsToOneAndGrowsWithAlpha) {
  MemoryCase c(*model_, 10, 30, 5);
  double last = 0;
  for (double alpha : {0.0, 0.5, 1.0, 4.0}) {
    AttentionMass mass;
    c.Turn(*model_, alpha, c.memory_end(), &mass);
    c.Turn(*model_, alpha, c.memory_end(), &mass);  // adds up
    ASSERT_EQ(mass.n_columns, 3);
    EXPECT_EQ(mass.rows, 10);
    ASSERT_EQ(mass.n_heads, model_->config().n_heads);
    for (size_t at = 0; at < mass.size(); at += 3) {  // of each layer and head
      const double* biased = &mass.biased[at];
      EXPECT_NEAR(biased[0] + biased[1] + biased[2], 10.0, 1e-4);
      const double* unbiased = &mass.unbiased[at];
      EXPECT_NEAR(unbiased[0] + unbiased[1] + unbiased[2], 10.0, 1e-4);
      if (alpha == 1.0) {
        EXPECT_NEAR(biased[1], unbiased[1], 1e-4);
      }
    }
    if (alpha > 0) {
      EXPECT_GT(mass.biased[1], last);
    }
    last = mass.biased[1];
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, ModelTest,
                         ::testing::Values(Path{"reference", "float"}, Path{"plain", "float"},
                                           Path{"avx2", "float"}, Path{"avx512", "float"},
                                           Path{"reference", "int16"}, Path{"avx2", "int16"},
                                           Path{"avx512", "int16"}),
                         [](const auto& info) {
                           return info.param.isa + "_" + info.param.activations;
                         });

TEST(ModelFamilyTest, QwenRowsGiveTheSameFunctionInTheirOwnOrder) {
  TempDir dir;
  // Unquantised, so that the permuted rows are the same numbers.
  const auto llama =
      LoadOrDie(WriteTinyModel(dir.path(), {.dtype = DType::kF32}), {.isa = "reference"});
  const auto qwen =
      LoadOrDie(WriteTinyModel(dir.path(), {.architecture = "qwen2", .dtype = DType::kF32}),
                {.isa = "reference"});
  EXPECT_EQ(qwen->config().rope.pairing, RopePairing::kHalves);
  const Tokens tokens = MakeTokens(*llama, 40, 1);
  KvBuffer a(llama->kv_shape(), 0), b(qwen->kv_shape(), 0);
  EXPECT_LE(Difference(RunOn(*qwen, tokens, &b), RunOn(*llama, tokens, &a)), 1e-6);
}

TEST(ModelLoadTest, EveryFormatOfWeightsRuns) {
  TempDir dir;
  const auto exact = LoadOrDie(WriteTinyModel(dir.path(), {.dtype = DType::kF32}));
  const Tokens tokens = MakeTokens(*exact, 30, 1);
  KvBuffer context(exact->kv_shape(), 0);
  const Logits want = RunOn(*exact, tokens, &context, LogitsWanted::kLast);
  for (auto [dtype, tolerance] :
       {std::pair{DType::kF16, 0.01}, std::pair{DType::kBF16, 0.05}, std::pair{DType::kQ8_0, 0.06},
        std::pair{DType::kQ4_0, 0.8}, std::pair{DType::kQ4_1, 0.6}}) {
    const auto model = LoadOrDie(WriteTinyModel(dir.path(), {.dtype = dtype}));
    KvBuffer other(model->kv_shape(), 0);
    const double difference = Difference(RunOn(*model, tokens, &other, LogitsWanted::kLast), want);
    EXPECT_LE(difference, tolerance) << kernels::Name(dtype);
    EXPECT_GT(difference, 0.0);
    EXPECT_NE(model->config().fingerprint, exact->config().fingerprint);
  }
}

TEST(ModelLoadTest, KvIsNamedAfterThePathThatComputesIt) {
  TempDir dir;
  const std::string path = WriteTinyModel(dir.path());
  const auto load = [&](const ModelOptions& options) { return LoadOrDie(path, options); };
  const auto model = load({.n_threads = 1, .isa = "plain", .activations = "float"});
  const auto same = load({.n_threads = 2, .isa = "plain", .activations = "float"});
  EXPECT_EQ(model->config().kv_fingerprint, same->config().kv_fingerprint);
  for (const auto& other : {load({.isa = "plain", .activations = "int16"}),
                            load({.isa = "reference", .activations = "float"})}) {
    EXPECT_EQ(model->config().fingerprint, other->config().fingerprint);
    EXPECT_NE(model->config().kv_fingerprint, other->config().kv_fingerprint);
  }
}

TEST(ModelLoadTest, BadFilesAndOptionsAreRefusedByName) {
  TempDir dir;
  const std::string path = WriteTinyModel(dir.path());
  const auto refused = [&](const ModelOptions& options, const char* what) {
    EXPECT_THAT(Model::Load(path, options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
  };
  refused({.isa = "sse9"}, "isa");
  refused({.activations = "int3"}, "activations");
  refused({.n_threads = -1}, "n_threads");

  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(path));
  const auto edited = [&](std::string_view key, size_t skip, uint32_t value, const char* what) {
    std::string bad = good;
    const size_t at = bad.find(key);
    ASSERT_NE(at, bad.npos);
    std::memcpy(&bad[at + key.size() + skip], &value, sizeof(value));
    ASSERT_OK(WriteFileAtomically(dir.File("bad.gguf"), bad));
    EXPECT_THAT(Model::Load(dir.File("bad.gguf"), {}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)))
        << key;
  };
  // A key is followed by its type (4 bytes) and its value.
  edited("llama.block_count", 4, 0, "block_count");
  edited("llama.block_count", 4, 1u << 30, "block_count");
  edited("llama.block_count", 4, 4, "blk.3.");
  edited("llama.attention.head_count_kv", 4, 3, "K/V heads");
  edited("llama.attention.head_count_kv", 4, 4, "attn_k.weight");
  edited("llama.embedding_length", 4, 128, "token_embd.weight");
  edited("llama.feed_forward_length", 4, 128, "ffn_");
  edited("llama.rope.dimension_count", 4, 15, "rope.dimension_count");
  edited("llama.rope.freq_base", 4, 0x7fc00000, "rope.freq_base");  // NaN
  edited("general.architecture", 4 + 8, 0x61616161, "general.architecture");
  // A tensor's name is followed by its number of dimensions, dimensions and type.
  edited("blk.1.attn_norm.weight", 4, 32, "blk.1.attn_norm.weight");
  edited("blk.2.ffn_gate.weight", 4 + 16, 0, "blk.2.ffn_gate.weight");  // as F32: too long
  for (size_t size = 0; size < good.size(); size += 1 + size / 3) {
    ASSERT_OK(WriteFileAtomically(dir.File("bad.gguf"), good.substr(0, size)));
    EXPECT_THAT(Model::Load(dir.File("bad.gguf"), {}), StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
}

TEST(ForwardTest, BadChunksAreRefusedAndNothingIsTouched) {
  TempDir dir;
  const auto model = LoadOrDie(WriteTinyModel(dir.path(), {.context_length = 32}));
  const Tokens tokens = MakeTokens(*model, 8, 1);
  KvBuffer memory = Prefill(*model, tokens);
  KvBuffer context = Prefill(*model, tokens);
  KvBuffer foreign({1, 1, 2}, 4);
  const Chunk good{.tokens = tokens, .context = &context, .segments = {{&memory, 0, 8, 0.0, 1.0}}};
  const auto refused = [&](auto change, const char* what) {
    KvBuffer first(model->kv_shape(), 0);
    Chunk chunks[2] = {good, good};
    chunks[0].context = &first;
    change(chunks[1]);
    EXPECT_THAT(model->Forward(chunks),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
    EXPECT_EQ(first.size(), 0);
    EXPECT_EQ(context.size(), 8);
  };
  const Tokens beyond = {0, model->config().vocab_size}, negative = {-1};
  const Tokens long_turn = MakeTokens(*model, 25, 1);
  const double nan = std::nan("");
  refused([&](Chunk& c) { c.tokens = {}; }, "tokens is empty");
  refused([&](Chunk& c) { c.tokens = beyond; }, "tokens[1]");
  refused([&](Chunk& c) { c.tokens = negative; }, "tokens[0]");
  refused([&](Chunk& c) { c.tokens = long_turn; }, "window");
  refused([&](Chunk& c) { c.context = nullptr; }, "context");
  refused([&](Chunk& c) { c.context = &foreign; }, "context");
  refused([&](Chunk& c) { c.context_offset = nan; }, "context_offset");
  refused([&](Chunk& c) { c.segments[0].alpha = -1; }, "alpha");
  refused([&](Chunk& c) { c.segments[0].alpha = nan; }, "alpha");
  refused([&](Chunk& c) { c.segments[0].alpha = INFINITY; }, "alpha");
  refused([&](Chunk& c) { c.segments[0].offset = nan; }, "offset");
  refused([&](Chunk& c) { c.segments[0].n_tokens = 9; }, "segments[0]");
  refused([&](Chunk& c) { c.segments[0].begin = -1; }, "segments[0]");
  refused([&](Chunk& c) { c.segments[0].begin = 2147483647; }, "segments[0]");
  refused([&](Chunk& c) { c.segments[0].kv = nullptr; }, "segments[0].kv");
  refused([&](Chunk& c) { c.segments[0].kv = &context; }, "segments[0].kv");
  const PlaneCodec codec(model->config());
  KvBuffer rounded(model->kv_shape(), 8), empty(model->kv_shape(), 0);
  refused(
      [&](Chunk& c) {
        c.rounded = {&codec, kernels::KvFormat::kInt8, &rounded};
      },
      "rounded: its 0 tokens or the context's 8");
  refused(
      [&](Chunk& c) {
        c.context = &empty;
        c.rounded = {&codec, kernels::KvFormat::kInt8, &foreign};
      },
      "rounded is not another buffer");
  refused(
      [&](Chunk& c) {
        c.context = &empty;
        c.rounded = {nullptr, kernels::KvFormat::kInt8, &rounded};
      },
      "rounded is not another buffer");
  EXPECT_EQ(rounded.size(), 0);
  Chunk twice[2] = {good, good};
  EXPECT_THAT(model->Forward(twice), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(model->Forward({}), ::testing::Property(&absl::StatusOr<Logits>::ok, true));
}

// Looked at from outside: the kernel still has the page of the heap.
TEST(KvBufferTest, IsOverwrittenWhenFreed) {
  const KvShape shape{.n_layers = 1, .n_kv_heads = 2, .head_dim = 16};
  const int n_tokens = 8;
  auto kv = std::make_unique<KvBuffer>(shape, n_tokens);
  kv->Resize(n_tokens);
  const size_t n = static_cast<size_t>(n_tokens) * shape.row_size();
  std::fill_n(kv->values(0, 0), n, 3.25f);
  const float* const values = kv->values(0, 0);
  std::vector<float> seen(n);
  std::ifstream memory;
  memory.rdbuf()->pubsetbuf(nullptr, 0);
  memory.open("/proc/self/mem", std::ios::binary);
  kv = nullptr;
  memory.seekg(reinterpret_cast<std::streamoff>(values));
  memory.read(reinterpret_cast<char*>(seen.data()), n * sizeof(float));
  ASSERT_TRUE(memory.good());
  EXPECT_EQ(std::ranges::count(seen, 3.25f), 0);
}

TEST(KvBufferTest, SharesPagesUntilOneIsWritten) {
  const KvShape shape{2, 1, 2};
  const auto meter = std::make_shared<KvMeter>(0);
  const auto bytes = [&](int n_tokens) {
    return static_cast<int64_t>(shape.bytes_per_token()) * n_tokens;
  };
  const auto fill = [](KvBuffer& kv, int begin, float sign) {
    for (int layer = 0; layer < 2; ++layer)
      for (int token = begin; token < kv.size(); ++token) {
        kv.keys(layer, token)[1] = sign * static_cast<float>(1000 * layer + token);
        kv.values(layer, token)[0] = sign * static_cast<float>(5000 * layer + token);
      }
  };
  KvBuffer kv(shape, 70, meter);
  EXPECT_EQ(kv.capacity(), 70);
  EXPECT_EQ(*meter, bytes(70));
  kv.Resize(70);
  fill(kv, 0, 1);
  KvBuffer shared = kv.Share(66);
  EXPECT_EQ(*meter, bytes(70));
  shared.Reserve(100);
  EXPECT_EQ(*meter, bytes(70 + 64));  // the half-full page was copied, the whole one was not
  EXPECT_EQ(shared.pages()[0], kv.pages()[0]);
  shared.Resize(70);
  fill(shared, 66, -1);
  EXPECT_EQ(shared.keys(1, 65)[1], 1065.0f);
  EXPECT_EQ(shared.keys(1, 66)[1], -1066.0f);
  EXPECT_EQ(kv.keys(1, 66)[1], 1066.0f);
  kv.Reserve(200);
  EXPECT_EQ(kv.capacity(), 256);
  EXPECT_EQ(kv.values(1, 69)[0], 5069.0f);
  { const KvBuffer gone = std::move(kv); }
  EXPECT_EQ(*meter, bytes(128));
  EXPECT_EQ(shared.values(0, 63)[0], 63.0f);
}

}  // namespace
}  // namespace dki::model
