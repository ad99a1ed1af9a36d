// SPDX-License-Identifier: Apache-2.0
#include "libs/search/words.h"

#include <gmock/gmock.h>

namespace dki::search {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(WordsTest, SplitsAtWhatIsNoLetterAndFoldsCase) {
  EXPECT_THAT(Words("Ann's dog, BISCUIT -- born 4 May 2023!"),
              ElementsAre("ann", "dog", "biscuit", "born", "4", "may", "2023"));
  EXPECT_THAT(Words("don't ' O\u2019Neil's 'quoted'"), ElementsAre("don't", "o'neil", "quoted"));
  EXPECT_THAT(Words(" \n?! "), IsEmpty());
}

TEST(WordsTest, OtherScripts) {
  EXPECT_THAT(Words("Éclair ÜBER Ёлка"), ElementsAre("éclair", "über", "ёлка"));
  EXPECT_THAT(Words("猫が cat"), ElementsAre("猫", "が", "cat"));
  EXPECT_EQ(Words("\xff\xfe broken \xc3").back().size(), 2u);  // read as Latin-1, no crash
}

TEST(ContentWordsTest, StopWordsGoAndStemsStay) {
  EXPECT_THAT(ContentWords("When did Ann go hiking in the mountains?"),
              ElementsAre("ann", "go", "hike", "mountain"));
  EXPECT_THAT(ContentWords("Who is she?"), IsEmpty());
}

TEST(WordListsTest, EveryWordOfTheListsIsFound) {
  // They are searched by halving, so a word out of order would hide.
  for (const char* word : {"a", "about", "been", "should", "so", "their", "them", "then", "your"}) {
    EXPECT_TRUE(IsStopWord(word)) << word;
  }
  for (const char* word : {"he", "one", "their", "them", "there", "those"}) {
    EXPECT_TRUE(IsPointingWord(word)) << word;
  }
  EXPECT_FALSE(IsStopWord("ann"));
  EXPECT_FALSE(IsPointingWord("ann"));
}

}  // namespace
}  // namespace dki::search
