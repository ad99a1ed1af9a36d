// SPDX-License-Identifier: Apache-2.0
// Requests whose memories the question changes.
#include <gmock/gmock.h>

#include <thread>

#include "libs/engine/pack_cache.h"
#include "libs/engine/test_engine.h"
#include "libs/injection/modulation_fixture.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::engine {
namespace {

constexpr char kQuestion[] = "What is Jack's job?";
constexpr char kContinuation[] = " Jack is a baker in the town.";

class EngineModulationTest : public ::testing::Test {
 protected:
  EngineModulationTest()
      : model_(testing::WriteTinyModel(folder_.path())), modulation_(Made(1, 0.25f)) {}

  std::shared_ptr<const injection::Modulation> Made(uint64_t seed, float up_scale) {
    const model::ModelConfig& config = *model_.language().config;
    auto made = injection::Modulation::Parse(
        injection::FileBytes(injection::RandomModulation(config, 4, seed, up_scale)), config,
        kernels::BestIsa());
    EXPECT_OK(made);
    return *made;
  }
  Prompt Modulated(Prompt prompt) {
    prompt.modulation = modulation_;
    return prompt;
  }
  static std::vector<double> Scores(Engine& engine, const Prompt& prompt) {
    const auto scores = engine.Score(For("t"), prompt, kContinuation);
    EXPECT_OK(scores);
    return scores.ok() ? scores->log_probabilities : std::vector<double>();
  }
  static std::vector<int32_t> Written(Engine& engine, const Prompt& prompt) {
    AnswerOptions options = Tokens(24);
    options.sampling.temperature = 10.0f;
    options.sampling.seed = 7;
    const auto answer = engine.Generate(For("t"), prompt, options, nullptr);
    EXPECT_OK(answer);
    return answer.ok() ? answer->token_ids : std::vector<int32_t>();
  }

  testing::TempDir folder_;
  TestModel model_;
  const std::shared_ptr<const injection::Modulation> modulation_;
  const Prompt plain_ = WithMemories(WithHistory(Ask(kQuestion)), MemoryPlace::kInjected, 1.5);
};

TEST_F(EngineModulationTest, ChangesWhatTheMemoriesSay) {
  const auto engine = model_.MakeEngine();
  const std::vector<double> plain = Scores(*engine, plain_);
  const std::vector<double> modulated = Scores(*engine, Modulated(plain_));
  EXPECT_NE(modulated, plain);
  Prompt other = plain_;
  other.modulation = Made(2, 0.25f);
  EXPECT_NE(Scores(*engine, other), modulated);
  ASSERT_OK_AND_ASSIGN(const Answer answer,
                       engine->Generate(For("t"), Modulated(plain_), Tokens(2), nullptr));
  EXPECT_TRUE(answer.modulated);
  EXPECT_EQ(Scores(*engine, plain_), plain);
}

TEST_F(EngineModulationTest, WithoutAnEffectEverythingIsBitForBitAsBefore) {
  const auto engine = model_.MakeEngine();
  const std::vector<double> plain = Scores(*engine, plain_);
  Prompt untrained = plain_;
  untrained.modulation = Made(1, 0.0f);
  EXPECT_EQ(Scores(*engine, untrained), plain);
  ASSERT_OK_AND_ASSIGN(const Answer answer,
                       engine->Generate(For("t"), untrained, Tokens(2), nullptr));
  EXPECT_FALSE(answer.modulated);

  // Memories of weight 0, and memories that are text, have no K/V to be changed.
  const Prompt vanilla = WithHistory(Ask(kQuestion));
  const Prompt zero = WithMemories(vanilla, MemoryPlace::kInjected, 0.0);
  EXPECT_EQ(Scores(*engine, Modulated(zero)), Scores(*engine, vanilla));
  EXPECT_EQ(Scores(*engine, Modulated(vanilla)), Scores(*engine, vanilla));
  const Prompt text = WithMemories(vanilla, MemoryPlace::kPromptLate, 1.0);
  EXPECT_EQ(Scores(*engine, Modulated(text)), Scores(*engine, text));
}

TEST_F(EngineModulationTest, AProbeSeesMemoriesUnchanged) {
  const auto engine = model_.MakeEngine();
  const injection::AttentionHead head{2, 1};
  ASSERT_OK_AND_ASSIGN(const ProbeResult plain, engine->Probe(For("t"), plain_, {{head}}));
  ASSERT_OK_AND_ASSIGN(const ProbeResult same,
                       engine->Probe(For("t"), Modulated(plain_), {{head}}));
  for (size_t i = 0; i < plain.memories.size(); ++i) {
    EXPECT_EQ(same.memories[i].head_shares, plain.memories[i].head_shares);
  }
}

TEST_F(EngineModulationTest, TheQuestionIsTheTurnWithoutTheBeginningOfItsAnswer) {
  // Read with a prefix, the answer goes on as it does when the model writes the prefix itself.
  const auto engine = model_.MakeEngine();
  Prompt begun = Modulated(plain_);
  begun.answer_prefix = " Jack is";
  const auto whole = engine->Score(For("t"), Modulated(plain_), " Jack is a baker");
  const auto rest = engine->Score(For("t"), begun, " a baker");
  ASSERT_OK(whole);
  ASSERT_OK(rest);
  ASSERT_LT(rest->log_probabilities.size(), whole->log_probabilities.size());
  for (size_t i = 1; i <= rest->log_probabilities.size(); ++i) {
    EXPECT_NEAR(rest->log_probabilities.end()[-static_cast<int>(i)],
                whole->log_probabilities.end()[-static_cast<int>(i)], 1e-4);
  }
}

TEST_F(EngineModulationTest, CopiesLeaveWhatRequestsShareAlone) {
  LocalPackSource source(model_.model(), *model_.language().format);
  PackCache cache({}, &source);
  const auto engine = model_.MakeEngine({}, &cache);
  const std::vector<double> plain = Scores(*engine, plain_);
  const std::vector<double> modulated = Scores(*engine, Modulated(plain_));
  EXPECT_EQ(Scores(*engine, Modulated(plain_)), modulated);  // not twice
  EXPECT_EQ(Scores(*engine, plain_), plain);
  EXPECT_GT(cache.stats().hits, 0);
  engine->WaitUntilIdle();
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.kv_bytes, stats.prefix_cache_bytes);  // the copies have gone
}

// P11: not on neighbours, how the prompt is cut, or a request's K/V given up and made again.
TEST_F(EngineModulationTest, BytesDependOnTheRequestAlone) {
  const auto alone = model_.MakeEngine();
  for (const char* composition : {"pack", "independent", "repair(3)"}) {
    Prompt prompt = Modulated(plain_);
    prompt.composition = *injection::ParseComposition(composition);
    const std::vector<int32_t> answer = Written(*alone, prompt);
    ASSERT_FALSE(answer.empty());
    Prompt plain = prompt;
    plain.modulation = nullptr;
    const std::vector<int32_t> plain_answer = Written(*alone, plain);
    for (const int chunk : {1, 3, 64}) {
      Engine::Options options;
      options.max_running = 4;
      options.prefill_chunk = chunk;
      const auto engine = model_.MakeEngine(options);
      std::vector<std::thread> askers;
      for (int i = 0; i < 4; ++i) {
        askers.emplace_back([&, i] {
          EXPECT_EQ(Written(*engine, i % 2 == 0 ? prompt : plain),
                    i % 2 == 0 ? answer : plain_answer)
              << composition << ", chunks of " << chunk;
        });
      }
      for (std::thread& asker : askers) asker.join();
    }
  }
}

TEST_F(EngineModulationTest, HistoryIsKeptForRequestsWithout) {
  const auto with = model_.MakeEngine();
  const auto without = model_.MakeEngine();
  Written(*with, Modulated(plain_));
  Written(*without, plain_);
  with->WaitUntilIdle();
  Prompt next = plain_;
  next.turn = {"user", "And where does Mary live?"};
  next.history.push_back({"user", kQuestion});
  next.history.push_back({"assistant", "A baker."});
  EXPECT_EQ(Scores(*with, next), Scores(*without, next));
}

}  // namespace
}  // namespace dki::engine
