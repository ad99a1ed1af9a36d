// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prompt_plan.h"

#include <gmock/gmock.h>

#include <cmath>

#include "libs/engine/test_engine.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::engine {
namespace {

using dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PromptPlanTest : public ::testing::Test {
 protected:
  PromptPlanTest() : model_(testing::WriteTinyModel(folder_.path())) {}

  // The model with a window of `context_length` tokens.
  absl::StatusOr<PromptPlan> Plan(const Prompt& prompt, int answer_tokens, int context_length = 0) {
    PromptLanguage language = model_.language();
    config_ = *language.config;
    if (context_length > 0) config_.context_length = context_length;
    language.config = &config_;
    return PlanPrompt(language, "tenant", prompt, answer_tokens);
  }

  testing::TempDir folder_;
  TestModel model_;
  model::ModelConfig config_;
};

TEST_F(PromptPlanTest, WeightlessMemoriesLeaveTheVanillaPlan) {
  const Prompt prompt = WithHistory(Ask("What is Jack's job?"));
  ASSERT_OK_AND_ASSIGN(const PromptPlan vanilla, Plan(prompt, 8));
  ASSERT_OK_AND_ASSIGN(const PromptPlan plan,
                       Plan(WithMemories(prompt, MemoryPlace::kInjected, 0.0), 8));
  EXPECT_FALSE(plan.pack.has_value());
  EXPECT_EQ(plan.history, vanilla.history);
  EXPECT_EQ(plan.turn, vanilla.turn);
  EXPECT_EQ(plan.memory_free, vanilla.n_tokens());
}

TEST_F(PromptPlanTest, ThePackIsNoPromptAndTheLatePromptIsThePack) {
  const Prompt prompt = WithHistory(Ask("What is Jack's job?"));
  ASSERT_OK_AND_ASSIGN(const PromptPlan vanilla, Plan(prompt, 8));
  ASSERT_OK_AND_ASSIGN(const PromptPlan injected,
                       Plan(WithMemories(prompt, MemoryPlace::kInjected, 1.0), 8));
  ASSERT_OK_AND_ASSIGN(const PromptPlan late,
                       Plan(WithMemories(prompt, MemoryPlace::kPromptLate, 1.0), 8));
  EXPECT_EQ(injected.n_tokens(), vanilla.n_tokens());
  EXPECT_EQ(injected.memory_prompt_tokens, 0);
  EXPECT_EQ(injected.placement.turn_offset, late.history.size() + late.notes.size());
  EXPECT_EQ(static_cast<int>(late.notes.size()), injected.pack->n_tokens);
  EXPECT_EQ(late.memory_prompt_tokens, injected.pack->n_tokens);
  EXPECT_EQ(late.turn, vanilla.turn);
  EXPECT_EQ(late.memory_free, static_cast<int>(vanilla.history.size()));
}

// Found here, and not by the forward pass that it shares with other requests.
TEST_F(PromptPlanTest, WithoutRotaryPositionsMemoryIsATruePrefixOrRefused) {
  const Prompt prompt = WithHistory(Ask("What is Jack's job?"));
  PromptLanguage language = model_.language();
  config_ = *language.config;
  config_.rope.n_rot = 0;
  language.config = &config_;
  const auto plan = [&](MemoryPlace place, double alpha) {
    return PlanPrompt(language, "tenant", WithMemories(prompt, place, alpha), 8);
  };
  EXPECT_THAT(plan(MemoryPlace::kInjected, 0.5),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("true prefix")));
  ASSERT_OK_AND_ASSIGN(const PromptPlan prefix, plan(MemoryPlace::kInjected, 2.0));
  EXPECT_EQ(prefix.placement.pack_offset, prefix.history.size());
  EXPECT_EQ(prefix.placement.turn_offset, prefix.history.size() + prefix.pack->n_tokens);
  EXPECT_OK(plan(MemoryPlace::kInjected, 0.0));
  EXPECT_OK(plan(MemoryPlace::kPromptLate, 0.5));
}

TEST_F(PromptPlanTest, NothingBehindMemoryTextIsMemoryFree) {
  const Prompt prompt = WithHistory(Ask("What is Jack's job?"));
  ASSERT_OK_AND_ASSIGN(const PromptPlan vanilla, Plan(prompt, 8));
  ASSERT_OK_AND_ASSIGN(const PromptPlan system,
                       Plan(WithMemories(prompt, MemoryPlace::kPromptSystem, 1.0), 8));
  ASSERT_OK_AND_ASSIGN(const PromptPlan user,
                       Plan(WithMemories(prompt, MemoryPlace::kPromptUser, 1.0), 8));
  EXPECT_LT(system.memory_free, static_cast<int>(vanilla.history.size()));
  EXPECT_TRUE(std::equal(system.history.begin(), system.history.begin() + system.memory_free,
                         vanilla.history.begin()));
  EXPECT_EQ(user.memory_free, static_cast<int>(vanilla.history.size()));
  EXPECT_GT(user.turn.size(), vanilla.turn.size());
}

TEST_F(PromptPlanTest, TheWorstRankIsDroppedFirst) {
  Prompt prompt = WithMemories(Ask("What is Jack's job?"), MemoryPlace::kInjected, 1.0);
  prompt.memories[0].rank = 2;  // the pack's order is not the rank's
  prompt.memories[2].rank = 0;
  ASSERT_OK_AND_ASSIGN(const PromptPlan all, Plan(prompt, 8));
  EXPECT_THAT(all.kept, ElementsAre(0, 1, 2));
  const int needed = all.n_tokens() + all.pack->n_tokens + 8;

  ASSERT_OK_AND_ASSIGN(const PromptPlan exact, Plan(prompt, 8, needed));
  EXPECT_THAT(exact.kept, ElementsAre(0, 1, 2));
  ASSERT_OK_AND_ASSIGN(const PromptPlan fewer, Plan(prompt, 8, needed - 1));
  EXPECT_THAT(fewer.kept, ElementsAre(1, 2));
  EXPECT_TRUE(fewer.memories[0].dropped);
  EXPECT_FALSE(fewer.memories[1].dropped);
  ASSERT_OK_AND_ASSIGN(const PromptPlan none, Plan(prompt, 8, all.n_tokens() + 8));
  EXPECT_THAT(none.kept, IsEmpty());
  EXPECT_FALSE(none.pack.has_value());
  EXPECT_THAT(
      Plan(prompt, 8, all.n_tokens() + 7),
      StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(std::to_string(all.n_tokens() + 7))));
}

TEST_F(PromptPlanTest, ALightPackNeedsLessOfTheWindow) {
  const Prompt prompt = WithMemories(Ask("What is Jack's job?"), MemoryPlace::kInjected, 0.25);
  ASSERT_OK_AND_ASSIGN(const PromptPlan all, Plan(prompt, 8));
  const int shift = static_cast<int>(std::ceil(0.25 * all.pack->n_tokens));
  ASSERT_OK_AND_ASSIGN(const PromptPlan exact, Plan(prompt, 8, all.n_tokens() + shift + 8));
  EXPECT_EQ(exact.kept.size(), 3u);
  ASSERT_OK_AND_ASSIGN(const PromptPlan fewer, Plan(prompt, 8, all.n_tokens() + shift + 7));
  EXPECT_EQ(fewer.kept.size(), 2u);
}

TEST_F(PromptPlanTest, TheBudgetIsTheSameInEveryPlace) {
  for (const MemoryPlace place : {MemoryPlace::kInjected, MemoryPlace::kPromptLate,
                                  MemoryPlace::kPromptSystem, MemoryPlace::kPromptUser}) {
    Prompt prompt = WithMemories(Ask("What is Jack's job?"), place, 1.0);
    ASSERT_OK_AND_ASSIGN(const PromptPlan all, Plan(prompt, 8));
    prompt.max_pack_tokens = all.pack_tokens - 1;
    ASSERT_OK_AND_ASSIGN(const PromptPlan fewer, Plan(prompt, 8));
    EXPECT_THAT(fewer.kept, ElementsAre(0, 1));
    EXPECT_TRUE(fewer.memories[2].dropped);
  }
}

TEST(ReusableTokensTest, WhatIsEqualByChanceIsNotTaken) {
  PromptPlan plan;
  plan.history.resize(100);
  plan.turn.resize(200);
  plan.answers = {{20, 50}, {80, 100}};
  EXPECT_EQ(ReusableTokens(plan, 10), 10);  // system prompt and user: as far as they go
  EXPECT_EQ(ReusableTokens(plan, 20), 20);
  EXPECT_EQ(ReusableTokens(plan, 30), 20);  // half an answer
  EXPECT_EQ(ReusableTokens(plan, 47), 47);  // just written, not closed yet
  EXPECT_EQ(ReusableTokens(plan, 50), 50);
  EXPECT_EQ(ReusableTokens(plan, 70), 70);
  EXPECT_EQ(ReusableTokens(plan, 96), 80);
  EXPECT_EQ(ReusableTokens(plan, 110), 100);  // a few words of the turn
  EXPECT_EQ(ReusableTokens(plan, 180), 180);  // a document in the turn
}

}  // namespace
}  // namespace dki::engine
