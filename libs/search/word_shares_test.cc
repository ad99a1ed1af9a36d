// SPDX-License-Identifier: Apache-2.0
#include "libs/search/word_shares.h"

#include <gmock/gmock.h>

#include <cmath>

namespace dki::search {
namespace {

using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<double> Shares(const std::string& question, const std::vector<std::string>& texts) {
  const std::vector<WeightedText> asked = {{question, 1.0}};
  return WordShares(MakeWordQuery(asked), texts);
}

TEST(WordSharesTest, WhatNoTextHasSaysMost) {
  const double has = 2 * std::log(1 + 2 / 1.5);  // ann, cat
  const double lacks = std::log(1 + 2 / 0.5);    // call
  EXPECT_THAT(Shares("What is Ann's cat called?", {"Ann's cats are asleep."}),
              ElementsAre(DoubleNear(has / (has + lacks), 1e-9)));
}

TEST(WordSharesTest, WhatAllTextsHaveSaysLittle) {
  const auto shares = Shares("Where is Ann's bike?", {"Ann's bike is in the cellar.",
                                                      "Ann likes rain.", "Ann sings on Mondays."});
  EXPECT_DOUBLE_EQ(shares[0], 1.0);
  EXPECT_GT(shares[1], 0.0);
  EXPECT_LT(shares[1], 0.45);
  EXPECT_EQ(shares[1], shares[2]);
}

TEST(WordSharesTest, LaterTurnsOfTheQueryCountByWeight) {
  const std::vector<WeightedText> asked = {{"the red kite", 1.0}, {"a bicycle", 0.5}};
  const std::vector<std::string> texts = {"a red kite", "a bicycle"};
  const auto shares = WordShares(MakeWordQuery(asked), texts);
  EXPECT_NEAR(shares[0], 0.8, 1e-9);
  EXPECT_NEAR(shares[1], 0.2, 1e-9);
}

TEST(WordSharesTest, NothingAskedNothingShared) {
  EXPECT_THAT(Shares("What is it?", {"Ann sings.", "Bo sings."}), Each(0.0));
  EXPECT_THAT(Shares("Who sings?", {}), IsEmpty());
  EXPECT_THAT(Shares("Who sings?", {""}), ElementsAre(0.0));
}

std::vector<std::vector<int>> Covered(const std::string& question,
                                      const std::vector<std::string>& texts) {
  const std::vector<WeightedText> asked = {{question, 1.0}};
  return CoveredByLater(MakeWordQuery(asked), texts);
}

TEST(CoveredByLaterTest, ByLaterTextsWithAllItsWordsOfTheQuestion) {
  EXPECT_THAT(Covered("Where does Ann live?", {"Ann lives in Porto.", "Ann is tired.",
                                               "Ann now lives in Rome.", "Ann lives near Bo."}),
              ElementsAre(ElementsAre(2, 3), IsEmpty(), ElementsAre(3), IsEmpty()))
      << "that Ann is tired is about something else";
}

TEST(CoveredByLaterTest, NeverWithoutAWordOfTheQuestion) {
  EXPECT_THAT(Covered("Where is Ann?", {"Bo sings.", "Bo is in Rome."}), Each(IsEmpty()));
  EXPECT_THAT(Covered("Where is it?", {"Bo sings.", "Bo sings."}), Each(IsEmpty()));
  EXPECT_THAT(Covered("Who sings?", {}), IsEmpty());
}

}  // namespace
}  // namespace dki::search
