// SPDX-License-Identifier: Apache-2.0
#include "libs/search/word_query.h"

#include <gmock/gmock.h>

namespace dki::search {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pair;

const std::vector<std::string> kRecent = {"I met Ann's sister Mira.", "Yes.",
                                          "She moved to Oslo in spring."};

TEST(ExpandQuestionTest, AQuestionThatStandsByItselfIsLeftAlone) {
  EXPECT_THAT(ExpandQuestion("Which language does Jonas learn on Fridays?", kRecent),
              ElementsAre(WeightedText{"Which language does Jonas learn on Fridays?", 1}));
  EXPECT_THAT(ExpandQuestion("Does Jonas like it that way in winter?", kRecent).size(), 1u);
}

TEST(ExpandQuestionTest, AShortOrPointingOneTakesTheTurnsBefore) {
  EXPECT_THAT(ExpandQuestion("And her brother?", kRecent),
              ElementsAre(WeightedText{"And her brother?", 1},
                          WeightedText{"She moved to Oslo in spring.", 1},
                          WeightedText{"I met Ann's sister Mira.", 0.5}));
  EXPECT_THAT(ExpandQuestion("And the brother?", kRecent)[1],
              (WeightedText{"She moved to Oslo in spring.", 0.5}));
  EXPECT_EQ(ExpandQuestion("I wonder which language she learns on weekends", kRecent).size(), 3u);
  EXPECT_EQ(ExpandQuestion("Why?", {}).size(), 1u);
}

TEST(MakeWordQueryTest, AWordHasItsLargestWeight) {
  const std::vector<WeightedText> texts = {{"And her brother?", 1}, {"Mira has a brother", 0.5}};
  EXPECT_THAT(MakeWordQuery(texts), ElementsAre(Pair("brother", 1.0), Pair("mira", 0.5)));
}

TEST(MeanVectorTest, IsAUnitVectorBetweenThem) {
  const std::vector<WeightedText> texts = {{"a", 1}, {"b", 0.75}};
  const std::vector<std::vector<float>> vectors = {{1, 0}, {0, 1}};
  EXPECT_THAT(MeanVector(texts, vectors),
              ElementsAre(FloatNear(0.8f, 1e-6f), FloatNear(0.6f, 1e-6f)));
  const std::vector<WeightedText> opposed = {{"a", 1}, {"b", 1}};
  const std::vector<std::vector<float>> cancel = {{1, 0}, {-1, 0}};
  EXPECT_EQ(MeanVector(opposed, cancel), cancel[0]);
}

}  // namespace
}  // namespace dki::search
