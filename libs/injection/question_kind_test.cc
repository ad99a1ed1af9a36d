// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/question_kind.h"

#include <gtest/gtest.h>

namespace dki::injection {
namespace {

TEST(QuestionKindTest, AnAuxiliaryAsksForYesOrNo) {
  for (const char* text : {"Is Ana in Porto?", "did she call", "Thanks. Does it rain?",
                           "Hi!\nHaven't we met?", "Well, is it?"}) {
    const bool question = std::string_view(text).find('?') != std::string_view::npos;
    const bool first = std::string_view(text).rfind("Well", 0) != 0;
    EXPECT_EQ(ClassifyQuestion(text) == QuestionKind::kJudgement, question && first) << text;
  }
}

TEST(QuestionKindTest, EverythingElseIsLookedUp) {
  for (const char* text :
       {"Where is Ana?", "What is Sam's job?", "", "?", "Is it? No. What then?", "Isabel who?",
        "¿Dónde está Ana?", "Tell me about Ana.", "Is it fine. Where to?"}) {
    EXPECT_EQ(ClassifyQuestion(text), QuestionKind::kLookup) << text;
  }
}

TEST(AsksForOneStateTest, AThingAsItIsNow) {
  for (const char* text :
       {"Where is Ana?", "where do I live", "Where are my keys?", "Hi. Who's my dentist?",
        "Who is my dentist?", "What is Sam's job?", "What's her number?", "Which town is it?",
        "When is the meeting?", "How old is Bo?", "Tell me. Where is it?"}) {
    EXPECT_TRUE(AsksForOneState(text)) << text;
  }
}

TEST(AsksForOneStateTest, WhatMayHaveSeveralAnswersOrIsPastOrIsNoState) {
  for (const char* text :
       {"What is Ana allergic to?", "What am I allergic to?", "What is Ana afraid of?",
        "Which books do I have?", "What are my hobbies?", "What does Ana like?",
        "What else is there?", "Where did Ana travel?", "Where have I been?", "Where was Ana?",
        "How do I get home?", "How?", "Did Ana call?", "Is Ana in Porto?", "Who likes tea?", "",
        "?", "Where is it? Tell me about Ana.", "List my hobbies."}) {
    const bool first = std::string_view(text).starts_with("Where is it?");
    EXPECT_EQ(AsksForOneState(text), first) << text;
  }
}

TEST(SpeaksOfAskerTest, ByItsWords) {
  for (const char* text : {"Where do I live?", "What is my dog's name?", "Who lives opposite me?",
                           "Which database do we run?", "Can I eat this?", "it is OUR cat, no?",
                           "I'm late. What now?", "Did you tell us?"}) {
    EXPECT_TRUE(SpeaksOfAsker(text)) << text;
  }
  for (const char* text : {"Where does Ann live?", "When did World War I end?", "", "?!",
                           "Who is the US president?", "Is Mina in Mexico?", "Who was Henry I?"}) {
    EXPECT_FALSE(SpeaksOfAsker(text)) << text;
  }
}

}  // namespace
}  // namespace dki::injection
