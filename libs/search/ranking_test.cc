// SPDX-License-Identifier: Apache-2.0
#include "libs/search/ranking.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "libs/testing/status_matchers.h"

namespace dki::search {
namespace {

using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FuseRanksTest, SumsReciprocalRanks) {
  const std::vector<std::vector<int>> lists = {{2, 0}, {0, 1}};
  const std::vector<double> weights = {1, 2};
  const std::vector<double> scores = FuseRanks(lists, weights, 4, 60);
  EXPECT_DOUBLE_EQ(scores[0], 1.0 / 62 + 2.0 / 61);
  EXPECT_DOUBLE_EQ(scores[1], 2.0 / 62);
  EXPECT_DOUBLE_EQ(scores[2], 1.0 / 61);
  EXPECT_DOUBLE_EQ(scores[3], 0);
  EXPECT_THAT(OrderByScore(scores), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(OrderByScore(scores, /*positive_only=*/true), ElementsAre(0, 1, 2));
}

TEST(OrderByScoreTest, EqualScoresKeepTheirOrder) {
  const std::vector<double> scores = {1, 2, 1, 2};
  EXPECT_THAT(OrderByScore(scores), ElementsAre(1, 3, 0, 2));
}

TEST(ScoreTest, AddsWhatIsWeighed) {
  RankingOptions options;
  options.word_weight = 0.5;
  EXPECT_DOUBLE_EQ(Score(options, 0.4, 1.0, 1.0), 0.9);  // recency is off
  options.recency_weight = 0.1;
  EXPECT_DOUBLE_EQ(Score(options, 0.4, 1.0, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(Recency(absl::Hours(48), absl::Hours(24)), 0.25);
  EXPECT_DOUBLE_EQ(Recency(absl::Hours(-5), absl::Hours(24)), 1);
  EXPECT_DOUBLE_EQ(Recency(absl::InfiniteDuration(), absl::Hours(24)), 0);
}

TEST(RankingOptionsTest, LimitsAreNamed) {
  EXPECT_OK(Validate(RankingOptions()));
  EXPECT_THAT(Validate(RankingOptions{.word_weight = std::nan("")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("word_weight")));
  EXPECT_THAT(Validate(RankingOptions{.recency_half_life = absl::ZeroDuration()}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("recency_half_life")));
}

}  // namespace
}  // namespace dki::search
