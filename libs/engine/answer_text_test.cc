// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/answer_text.h"

#include <gmock/gmock.h>

#include "libs/base/utf8.h"

namespace dki::engine {
namespace {

using ::testing::ElementsAre;

// What is shown after each piece, and at the end.
std::vector<std::string> Show(AnswerText& text, const std::vector<std::string>& pieces) {
  std::vector<std::string> shown;
  for (const std::string& piece : pieces) {
    if (text.stopped()) break;
    shown.push_back(text.Append(piece));
  }
  shown.push_back(text.Finish());
  return shown;
}

TEST(AnswerTextTest, ACharacterComesOutWhole) {
  AnswerText text({});
  // U+20AC is E2 82 AC.
  EXPECT_THAT(Show(text, {"5 \xE2", "\x82", "\xAC!", "\xE2\x82"}),
              ElementsAre("5 ", "", "\xE2\x82\xAC!", "", "\xEF\xBF\xBD\xEF\xBF\xBD"));
}

TEST(AnswerTextTest, WhiteSpaceInFrontMayBelongToTheFormat) {
  AnswerText text({}, /*trims_start=*/true);
  EXPECT_THAT(Show(text, {" ", "\n ", " It", " is"}), ElementsAre("", "", "It", " is", ""));
  EXPECT_EQ(text.text(), "It is");
  AnswerText kept({});
  EXPECT_EQ(kept.Append(" It"), " It");
}

TEST(AnswerTextTest, BytesThatAreNoTextAreReplaced) {
  AnswerText text({});
  EXPECT_EQ(text.Append("a\xFFz"), "a\xEF\xBF\xBDz");
}

TEST(AnswerTextTest, AStopStringMaySpanTokens) {
  AnswerText text({"\nUser:"});
  EXPECT_THAT(Show(text, {"Hi", " there\n", "Us", "er", ": more"}),
              ElementsAre("Hi", " there", "", "", "", ""));
  EXPECT_TRUE(text.stopped());
  EXPECT_EQ(text.text(), "Hi there");
}

TEST(AnswerTextTest, WhatOnlyBeganLikeAStopStringIsShown) {
  AnswerText text({"END."});
  EXPECT_THAT(Show(text, {"The EN", "EN", "D", "!"}), ElementsAre("The ", "EN", "", "END!", ""));
  EXPECT_FALSE(text.stopped());
}

TEST(AnswerTextTest, TheFirstStopStringToBeCompleteWinsHoweverTokensCutIt) {
  for (const std::vector<std::string>& pieces :
       std::vector<std::vector<std::string>>{{"xabcd"}, {"xab", "cd"}, {"x", "a", "b", "c", "d"}}) {
    AnswerText text({"abcd", "bc"});
    Show(text, pieces);
    EXPECT_TRUE(text.stopped());
    EXPECT_EQ(text.text(), "xa");
  }
}

TEST(AnswerTextTest, HeldBackTextComesAtTheEnd) {
  AnswerText text({"stop"});
  EXPECT_THAT(Show(text, {"go sto"}), ElementsAre("go ", "sto"));
}

}  // namespace
}  // namespace dki::engine
