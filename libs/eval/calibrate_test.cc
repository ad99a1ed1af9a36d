// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/calibrate.h"

#include <gmock/gmock.h>

#include "libs/testing/status_matchers.h"

namespace dki::eval {
namespace {

using dki::testing::StatusIs;

// Four memories; head 1 sees the gold one, head 0 whatever is last, the cosine hardly anything.
std::vector<LabelledItem> Suite(bool with_absent) {
  std::vector<LabelledItem> items;
  for (int i = 0; i < 40; ++i) {
    LabelledItem item;
    const int gold = i % 4;
    for (int m = 0; m < 4; ++m) {
      item.cosines.push_back(0.5 + 0.01 * ((i * 7 + m * 3) % 5));
      item.words.push_back(0.5);
      item.later.emplace_back();
      item.shares.push_back({m == 3 ? 0.3 : 0.1, m == gold ? 0.2 : 0.02});
    }
    item.gold = {gold};
    if (with_absent && i % 2 == 0) {
      item.gold.clear();
      item.needed = false;
      for (auto& shares : item.shares) shares[1] = 0.02;
    }
    items.push_back(item);
  }
  return items;
}

TEST(FitCalibrationTest, FindsTheHeadThatLooksForAnswers) {
  injection::Calibration calibration;
  ASSERT_OK(FitCalibration({Suite(false), Suite(true)}, {{3, 0}, {5, 2}}, 1, &calibration));
  ASSERT_EQ(calibration.heads.size(), 1u);
  EXPECT_EQ(calibration.heads[0], (injection::AttentionHead{5, 2}));
  EXPECT_GT(calibration.relevance.heads[0], 0.5);
  EXPECT_GT(calibration.answer.relevance, 0.1);

  // What was fitted tells the two kinds apart.
  const auto seen = [](double share) {
    return injection::Evidence{.cosine = 0.5, .words = 0.5, .head_shares = {share}};
  };
  const std::vector<injection::Evidence> holds = {seen(0.2), seen(0.02)};
  const std::vector<injection::Evidence> lacks = {seen(0.02), seen(0.02)};
  const auto probability = [&](const std::vector<injection::Evidence>& memories) {
    return injection::AnswerProbability(calibration.answer, memories,
                                        injection::ScoreRelevance(calibration.relevance, memories),
                                        false);
  };
  EXPECT_GT(probability(holds), calibration.answer.threshold);
  EXPECT_LT(probability(lacks), calibration.answer.threshold);
}

// The gold one and one before it look alike; only that it is the later one tells them apart.
TEST(FitCalibrationTest, FindsWhatALaterMemoryTakesAway) {
  auto suite = Suite(true);
  for (LabelledItem& item : suite) {
    if (item.gold.empty()) continue;
    const int old = (item.gold[0] + 2) % 4;  // as often behind it as before it
    item.shares[old] = item.shares[item.gold[0]];
    item.later[old] = item.gold;
  }
  injection::Calibration calibration;
  ASSERT_OK(FitCalibration({Suite(true)}, {{3, 0}, {5, 2}}, 1, &calibration));
  EXPECT_EQ(calibration.relevance.superseded, 0.0);
  ASSERT_OK(FitCalibration({suite}, {{3, 0}, {5, 2}}, 1, &calibration));
  EXPECT_GT(calibration.relevance.superseded, 0.5);
  EXPECT_GT(calibration.relevance.heads[0], 0.5);
}

TEST(FitCalibrationTest, NeedsBothKindsOfItems) {
  injection::Calibration calibration;
  EXPECT_THAT(FitCalibration({Suite(false)}, {{3, 0}, {5, 2}}, 1, &calibration),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(FitCalibration({}, {{3, 0}}, 1, &calibration),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(BestThresholdTest, InTheMiddleOfTheGap) {
  EXPECT_DOUBLE_EQ(BestThreshold({{0.9, 0.25}, {0.7, 0.25}, {0.3, -0.25}, {0.1, -0.25}}), 0.5);
}

TEST(BestThresholdTest, TheLowestOfThoseAboutAsGood) {
  // Letting the last two pass brings 0.2 and costs 0.205; the one below them costs more.
  EXPECT_DOUBLE_EQ(
      BestThreshold({{0.9, 0.3}, {0.6, -0.205}, {0.5, 0.2}, {0.3, -0.1}, {0.2, -0.195}}), 0.4);
  EXPECT_DOUBLE_EQ(BestThreshold({{0.9, 0.3}, {0.6, -0.25}, {0.5, 0.2}, {0.3, -0.1}, {0.2, -0.15}}),
                   0.75);
}

TEST(BestThresholdTest, NothingWorthLettingPass) {
  EXPECT_DOUBLE_EQ(BestThreshold({{0.9, -0.5}, {0.2, 0.1}}), 1.0);
}

TEST(BestStrengthTest, TheBestThatLosesNowhere) {
  EXPECT_EQ(BestStrength({{50, 20}, {90, 10}, {70, 18}}, 3.0), 2);
  EXPECT_EQ(BestStrength({{50, 20}, {90, 10}}, 3.0), 0);
  EXPECT_EQ(BestStrength({{50, 20}, {90, 10}}, 10.0), 1);
}

}  // namespace
}  // namespace dki::eval
