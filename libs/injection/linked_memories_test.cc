// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/linked_memories.h"

#include <gmock/gmock.h>

namespace dki::injection {
namespace {

using ::testing::ElementsAre;

const std::vector<std::string> kTexts = {"Ana went to the garden.", "Ben went to the office.",
                                         "Ana took the ball there.", "The cat is Ben's.",
                                         "Ana travelled to the hallway."};

TEST(WithLinkedTest, ANewNameLeadsOn) {
  EXPECT_THAT(WithLinked(std::vector<int>{2}, kTexts, "Where is the ball?"), ElementsAre(0, 2, 4));
  EXPECT_THAT(WithLinked(std::vector<int>{3}, kTexts, "Whose is the cat?"), ElementsAre(1, 3));
}

TEST(WithLinkedTest, OfEachNameTheLatestSix) {
  std::vector<std::string> texts = {"Ana took the ball."};
  for (int i = 1; i <= 20; ++i) texts.push_back("Ana went to room " + std::to_string(i) + ".");
  texts.emplace_back("Ben took the ball to Ana.");
  EXPECT_THAT(WithLinked(std::vector<int>{0}, texts, "Where is the ball?"),
              ElementsAre(0, 16, 17, 18, 19, 20, 21));
}

TEST(WithLinkedTest, ANameOfTheQuestionDoesNot) {
  EXPECT_THAT(WithLinked(std::vector<int>{4}, kTexts, "Where is Ana?"), ElementsAre(4));
  EXPECT_THAT(WithLinked({}, kTexts, "Where is Ana?"), ElementsAre());
}

TEST(WithLinkedTest, ACommonWordAtTheBeginningIsNoName) {
  const std::vector<std::string> texts = {"The red one.", "In the box.", "The blue one."};
  EXPECT_THAT(WithLinked(std::vector<int>{0}, texts, "Which?"), ElementsAre(0));
}

TEST(WithLinkedTest, AClassLeadsToWhatIsKnownOfIt) {
  const std::vector<std::string> texts = {
      "Wolves are afraid of sheep.",      "Mice are afraid of wolves.", "Gertrude is a mouse.",
      "Every mouse likes a good cheese.", "Emily is a wolf.",           "Mousetraps are cheap."};
  const char kQuestion[] = "What is Gertrude afraid of?";
  EXPECT_THAT(WithLinked(std::vector<int>{2}, texts, kQuestion), ElementsAre(1, 2, 3));
  EXPECT_THAT(WithLinked(std::vector<int>{4}, texts, kQuestion), ElementsAre(0, 4));
  EXPECT_THAT(WithLinked(std::vector<int>{1}, texts, kQuestion), ElementsAre(1));
  // With an adjective; regular plurals.
  const std::vector<std::string> more = {"Rex is an old dog.", "Dogs need a walk.",
                                         "Cherries are red.", "It was a cherry."};
  EXPECT_THAT(WithLinked(std::vector<int>{0}, more, "What?"), ElementsAre(0, 1));
  EXPECT_THAT(WithLinked(std::vector<int>{3}, more, "What?"), ElementsAre(2, 3));
}

TEST(WithLinkedTest, ParagraphsDoNotLead) {
  std::string paragraph = "Ana";
  for (int i = 0; i < 30; ++i) paragraph += " walked";
  const std::vector<std::string> texts = {paragraph, "Ana sat."};
  EXPECT_THAT(WithLinked(std::vector<int>{0}, texts, "Who?"), ElementsAre(0));
  EXPECT_THAT(WithLinked(std::vector<int>{1}, texts, "Who?"), ElementsAre(1));
}

}  // namespace
}  // namespace dki::injection
