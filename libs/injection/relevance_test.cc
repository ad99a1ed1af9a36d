// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/relevance.h"

#include <gmock/gmock.h>

#include <cmath>

namespace dki::injection {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

TEST(ScoreRelevanceTest, AddsUpCosineWordsPlaceAndHeads) {
  const RelevanceModel model{.cosine = 2.0, .words = 4.0, .recency = 0.5, .heads = {1.0, -1.0}};
  const std::vector<Evidence> memories = {
      {.cosine = 0.5, .words = 0.25, .head_shares = {0.1, 0.1}},
      {.cosine = 0.5, .words = 0.25, .head_shares = {0.2, 0.1}},
      {.cosine = 0.25, .words = 0.5, .head_shares = {0.1, 0.1}},
  };
  const auto scores = ScoreRelevance(model, memories);
  ASSERT_EQ(scores.size(), 3u);
  EXPECT_NEAR(scores[1] - scores[0], 0.25 + std::log(2.0), 1e-3);
  EXPECT_NEAR(scores[2] - scores[0], 0.5 - 0.5 + 1.0, 1e-9);
}

TEST(ScoreRelevanceTest, ALaterMemoryThatSaysAsMuchPutsAnEarlierBehind) {
  const RelevanceModel model{.cosine = 1.0, .superseded = 2.0, .heads = {}};
  std::vector<Evidence> memories = {{.cosine = 1.0, .later = {1, 2}, .head_shares = {}},
                                    {.cosine = 0.5, .later = {2}, .head_shares = {}},
                                    {.cosine = 0.0, .head_shares = {}}};
  EXPECT_THAT(SupersededBy(model, memories), ElementsAre(1, 2, -1));
  EXPECT_THAT(ScoreRelevance(model, memories), ElementsAre(-1.0, -1.5, 0.0));
  // It mentions the same, but is not what is asked for.
  memories[2].cosine = -1.4;
  EXPECT_THAT(SupersededBy(model, memories), ElementsAre(1, 2, -1));
  memories[2].cosine = -1.6;
  EXPECT_THAT(SupersededBy(model, memories), ElementsAre(1, -1, -1));
  EXPECT_THAT(ScoreRelevance(model, memories), ElementsAre(-1.0, 0.5, -1.6));
  EXPECT_THAT(SupersededBy({.cosine = 1.0}, memories), ElementsAre(-1, -1, -1)) << "of no weight";
}

TEST(ScoreRelevanceTest, WithoutSharesTheRestCounts) {
  const RelevanceModel model{.cosine = 1.0, .recency = 0.0, .heads = {3.0}};
  const std::vector<Evidence> memories = {{.cosine = 0.5, .head_shares = {}},
                                          {.cosine = 0.1, .head_shares = {}}};
  EXPECT_THAT(ScoreRelevance(model, memories),
              ElementsAre(DoubleNear(0.5, 1e-12), DoubleNear(0.1, 1e-12)));
}

TEST(ScoreRelevanceTest, AShareOfNothingIsFinite) {
  const RelevanceModel model{.cosine = 0.0, .recency = 0.0, .heads = {1.0}};
  const std::vector<Evidence> memories = {{.cosine = 0.0, .head_shares = {0.0}}};
  EXPECT_TRUE(std::isfinite(ScoreRelevance(model, memories)[0]));
}

// A head that helps to tell whether anything answers, but not what, has no say.
TEST(LookShareTest, CountsHeadsByTheirWeight) {
  const RelevanceModel model{.cosine = 1.0, .recency = 0.0, .heads = {3.0, 1.0, 0.0}};
  EXPECT_DOUBLE_EQ(LookShare(model, std::vector{0.2, 0.4, 0.9}), 0.25);
  const RelevanceModel none{.cosine = 1.0, .recency = 0.0, .heads = {0.0, 0.0}};
  EXPECT_DOUBLE_EQ(LookShare(none, std::vector{0.2, 0.4}), 0.3);
}

TEST(MostProbableTest, KeepsAsManyAsTheMassNeeds) {
  const std::vector<double> certain = {0.0, 10.0, 0.0};
  const std::vector<double> unsure = {1.0, 1.0, 1.0, -20.0};
  EXPECT_THAT(MostProbable(certain, 0.9), ElementsAre(1));
  EXPECT_THAT(MostProbable(unsure, 0.9), ElementsAre(0, 1, 2));
  EXPECT_THAT(MostProbable(unsure, 0.5), ElementsAre(0, 1));
  EXPECT_THAT(MostProbable(unsure, 1.0), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(MostProbable(certain, 0.0), ElementsAre(1));
  EXPECT_THAT(MostProbable({}, 0.5), ElementsAre());
  EXPECT_THAT(MostProbable(unsure, 0.9, 2), ElementsAre(0, 1));
  EXPECT_THAT(MostProbable(certain, 0.9, 2), ElementsAre(1));
  EXPECT_THAT(MostProbable(certain, 1.0, 2), ElementsAre(0, 1)) << "the best, ascending";
  EXPECT_THAT(MostProbable(unsure, 1.0, 9), ElementsAre(0, 1, 2, 3));
}

TEST(AnswerProbabilityTest, TheBestOfEachDecides) {
  const AnswerModel model{.bias = 1.0,
                          .cosine = 2.0,
                          .personal = 1.5,
                          .words = 3.0,
                          .relevance = 0.5,
                          .threshold = 0.5};
  const std::vector<Evidence> memories = {{.cosine = 0.5, .words = 0.25, .head_shares = {}},
                                          {.cosine = 0.1, .words = 0.75, .head_shares = {}}};
  const std::vector<double> scores = {-3.0, -1.0};
  const double log_odds = 1.0 + 2.0 * 0.5 + 3.0 * 0.75 + 0.5 * -1.0;
  EXPECT_NEAR(AnswerProbability(model, memories, scores, false), 1.0 / (1.0 + std::exp(-log_odds)),
              1e-12);
  EXPECT_NEAR(AnswerProbability(model, memories, scores, true),
              1.0 / (1.0 + std::exp(-log_odds - 1.5 * 0.5)), 1e-12);
  EXPECT_EQ(AnswerProbability(model, {}, {}, true), 0.0);
}

}  // namespace
}  // namespace dki::injection
