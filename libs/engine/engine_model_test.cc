// SPDX-License-Identifier: Apache-2.0
// P1 and P2 on the default model, and what needs its real vocabulary.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "libs/engine/engine.h"
#include "libs/engine/test_engine.h"
#include "libs/model/test_models.h"
#include "libs/testing/status_matchers.h"

namespace dki::engine {
namespace {

constexpr char kQuestion[] = "What is Jack's job?";
constexpr char kContinuation[] = "Jack's job is baker, and he lives in the old town.";

class EngineModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    DKI_SKIP_WITHOUT(model::DefaultModelPath());
    if (model_ == nullptr) model_ = new TestModel(model::DefaultModelPath());
    engine_ = model_->MakeEngine();
  }
  static void TearDownTestSuite() {
    delete model_;
    model_ = nullptr;
  }
  Answer Generate(const Prompt& prompt, const AnswerOptions& options) {
    const auto answer = engine_->Generate(For("t"), prompt, options, nullptr);
    EXPECT_OK(answer);
    return answer.ok() ? *answer : Answer();
  }
  ScoreResult Score(const Prompt& prompt) {
    const auto scores = engine_->Score(For("t"), prompt, kContinuation);
    EXPECT_OK(scores);
    return scores.ok() ? *scores : ScoreResult();
  }

  static TestModel* model_;
  std::unique_ptr<Engine> engine_;
};
TestModel* EngineModelTest::model_ = nullptr;

TEST_F(EngineModelTest, P1AlphaZeroIsVanillaBitForBit) {
  for (const Prompt& vanilla : {Ask(kQuestion), WithHistory(Ask(kQuestion))}) {
    const Prompt zero = WithMemories(vanilla, MemoryPlace::kInjected, 0.0);
    EXPECT_EQ(Score(zero).log_probabilities, Score(vanilla).log_probabilities);
    EXPECT_EQ(Generate(zero, Tokens(24)).token_ids, Generate(vanilla, Tokens(24)).token_ids);
  }
}

TEST_F(EngineModelTest, P1ASmallAlphaIsNearVanilla) {
  const Prompt vanilla = WithHistory(Ask(kQuestion));
  const ScoreResult near = Score(WithMemories(vanilla, MemoryPlace::kInjected, 1e-4));
  const ScoreResult exact = Score(vanilla);
  for (size_t i = 0; i < exact.log_probabilities.size(); ++i) {
    EXPECT_NEAR(near.log_probabilities[i], exact.log_probabilities[i], 0.05) << i;
  }
}

double LargestDifference(const ScoreResult& a, const ScoreResult& b) {
  double largest = 0.0;
  for (size_t i = 0; i < b.log_probabilities.size(); ++i) {
    largest = std::max(largest, std::abs(a.log_probabilities[i] - b.log_probabilities[i]));
  }
  return largest;
}

TEST_F(EngineModelTest, P2AlphaOneIsThePromptedModelWithFloatActivations) {
  TestModel exact(model::DefaultModelPath(), "float");
  engine_ = exact.MakeEngine();
  const ScoreResult a = Score(WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 1.0));
  const ScoreResult b = Score(WithMemories(Ask(kQuestion), MemoryPlace::kPromptLate, 1.0));
  EXPECT_LE(LargestDifference(a, b), 1e-4);
  EXPECT_EQ(a.greedy_ids, b.greedy_ids);
  engine_.reset();
}

TEST_F(EngineModelTest, P2AlphaOneIsThePromptedModel) {
  const Prompt injected = WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 1.0);
  const Prompt late = WithMemories(Ask(kQuestion), MemoryPlace::kPromptLate, 1.0);
  const ScoreResult a = Score(injected);
  const ScoreResult b = Score(late);
  EXPECT_LE(LargestDifference(a, b), 3e-3);  // about 1e-4 of the largest logit
  EXPECT_EQ(a.greedy_ids, b.greedy_ids);
  const Answer x = Generate(injected, Tokens(24));
  const Answer y = Generate(late, Tokens(24));
  EXPECT_EQ(x.token_ids, y.token_ids);
  EXPECT_THAT(x.text, ::testing::HasSubstr("baker"));
  EXPECT_THAT(Generate(Ask(kQuestion), Tokens(24)).text,
              ::testing::Not(::testing::HasSubstr("baker")));
}

TEST_F(EngineModelTest, ScoringFollowsGeneration) {
  const Answer answer =
      Generate(WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 2.0), Tokens(24));
  const auto scores = engine_->Score(
      For("t"), WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 2.0), answer.text);
  ASSERT_OK(scores);
  ASSERT_EQ(scores->token_ids, answer.token_ids);  // greedy text encodes as it was written
  EXPECT_EQ(scores->greedy_ids, answer.token_ids);
}

TEST_F(EngineModelTest, AStopStringEndsTheAnswerBeforeIt) {
  const Prompt prompt = WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 1.0);
  const Answer whole = Generate(prompt, Tokens(24));
  ASSERT_GT(whole.text.size(), 12u);
  // Begins and ends inside words, so it spans tokens and borders of none.
  AnswerOptions options = Tokens(24);
  options.stop = {whole.text.substr(5, 6)};
  const Answer stopped = Generate(prompt, options);
  EXPECT_EQ(stopped.finish_reason, "stop_string");
  EXPECT_EQ(stopped.text, whole.text.substr(0, whole.text.find(options.stop[0])));
}

}  // namespace
}  // namespace dki::engine
