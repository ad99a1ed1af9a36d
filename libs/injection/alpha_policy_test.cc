// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/alpha_policy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "libs/testing/status_matchers.h"

namespace dki::injection {
namespace {

TEST(WeighMemoriesTest, DefaultPolicyIsRelativeToTheBest) {
  const std::vector<MemoryRelevance> memories = {{.score = 0.4}, {.score = 0.7}, {.score = -1}};
  const auto alphas = WeighMemories({}, memories, std::nullopt);
  EXPECT_DOUBLE_EQ(alphas[0].read, std::exp(2 * (0.4 - 0.7)));
  EXPECT_DOUBLE_EQ(alphas[0].answer, 2 * std::exp(2 * (0.4 - 0.7)));
  EXPECT_DOUBLE_EQ(alphas[1].read, 1.0);
  EXPECT_DOUBLE_EQ(alphas[1].answer, 2.0);
  // exp(-3.4) = 0.033 is under the floor; the phase's factor comes after it.
  EXPECT_DOUBLE_EQ(alphas[2].read, 0.05);
  EXPECT_DOUBLE_EQ(alphas[2].answer, 0.10);
  for (const MemoryAlpha& alpha : alphas) EXPECT_FALSE(alpha.capped);
}

TEST(WeighMemoriesTest, ClassesCapWhatThePhaseMadeOfIt) {
  const std::vector<MemoryRelevance> memories = {{0.5, SourceClass::kUser},
                                                 {0.5, SourceClass::kOperator},
                                                 {0.5, SourceClass::kDocument},
                                                 {0.5, SourceClass::kAssistant},
                                                 {0.5, SourceClass::kTool}};
  const double reads[] = {1, 1, 1, 1, 0.5}, answers[] = {2, 2, 2, 1, 0.5};
  const bool capped[] = {false, false, false, true, true};
  const auto alphas = WeighMemories({}, memories, std::nullopt);
  for (int i = 0; i < 5; ++i) {
    EXPECT_DOUBLE_EQ(alphas[i].read, reads[i]) << i;
    EXPECT_DOUBLE_EQ(alphas[i].answer, answers[i]) << i;
    EXPECT_EQ(alphas[i].capped, capped[i]) << i;
  }
}

TEST(WeighMemoriesTest, ForcedWeighsAllTheSameInBothPhasesButCapped) {
  const std::vector<MemoryRelevance> memories = {{0.9, SourceClass::kUser},
                                                 {0.1, SourceClass::kDocument}};
  const auto alphas = WeighMemories({}, memories, 4.0);
  EXPECT_EQ(alphas[0].read, 4.0);
  EXPECT_EQ(alphas[0].answer, 4.0);
  EXPECT_EQ(alphas[1].read, 2.0);
  EXPECT_TRUE(alphas[1].capped);
  EXPECT_EQ(WeighMemories({}, memories, 0.0)[0].answer, 0.0);
}

TEST(WeighMemoriesTest, StaysWithinItsLimitsAndKeepsTheOrderOfRelevance) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> cosine(-1, 1), zero_one(0, 1), to_max(0, kMaxAlpha);
  for (int round = 0; round < 500; ++round) {
    const AlphaPolicy policy{.beta = 20 * zero_one(random),
                             .floor = zero_one(random),
                             .read = to_max(random),
                             .answer = to_max(random),
                             .cap_user = to_max(random)};
    ASSERT_OK(Validate(policy));
    std::vector<MemoryRelevance> memories(1 + random() % 8);
    for (auto& memory : memories) memory.score = cosine(random);
    const auto alphas = WeighMemories(policy, memories, std::nullopt);
    for (size_t i = 0; i < memories.size(); ++i) {
      EXPECT_GE(alphas[i].read, std::min(policy.floor * policy.read, policy.cap_user));
      EXPECT_LE(std::max(alphas[i].read, alphas[i].answer), policy.cap_user);
      for (size_t j = 0; j < memories.size(); ++j) {
        if (memories[i].score > memories[j].score) continue;
        EXPECT_LE(alphas[i].read, alphas[j].read);
      }
    }
  }
}

TEST(WeighMemoriesTest, ACosineThatIsNotANumberWeighsTheFloor) {
  const std::vector<MemoryRelevance> memories = {{.score = NAN}, {.score = 0.5}};
  const auto alphas = WeighMemories({}, memories, std::nullopt);
  EXPECT_DOUBLE_EQ(alphas[0].read, 0.05);
  EXPECT_DOUBLE_EQ(alphas[1].read, 1.0);
}

TEST(ValidateTest, NamesTheField) {
  using ::testing::HasSubstr;
  using testing::StatusIs;
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_OK(Validate({}));
  EXPECT_THAT(Validate({.beta = NAN}), StatusIs(kInvalid, HasSubstr("beta")));
  EXPECT_THAT(Validate({.floor = 1.5}), StatusIs(kInvalid, HasSubstr("floor")));
  EXPECT_THAT(Validate({.answer = 17}), StatusIs(kInvalid, HasSubstr("answer: 17")));
  EXPECT_THAT(Validate({.cap_tool = -1}), StatusIs(kInvalid, HasSubstr("cap_tool")));
}

}  // namespace
}  // namespace dki::injection
