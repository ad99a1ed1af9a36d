// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/make_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "libs/base/file.h"
#include "libs/eval/suite.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::eval {
namespace {

using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MakeTextsTest : public ::testing::Test {
 protected:
  // Writes what was made and reads it as a suite.
  Suite Read(const std::vector<MadeSuite>& made, const std::string& name) {
    EXPECT_OK(WriteSuites(made, folder_.File("made")));
    auto suite = ReadSuite(folder_.File("made/" + name + ".jsonl"), {});
    EXPECT_OK(suite.status());
    return suite.ok() ? *std::move(suite) : Suite{};
  }

  // Ten facts of Ann and Bo; each question has one answer, but for one with two golds and one
  // without an answer.
  std::string StoreFile() {
    nlohmann::json memories = nlohmann::json::array();
    nlohmann::json questions = nlohmann::json::array();
    for (int i = 0; i < 10; ++i) {
      const std::string id = "n" + std::to_string(i);
      memories.push_back(
          {{"id", id}, {"text", "Box " + id + " holds v" + std::to_string(i) + "."}});
      questions.push_back({{"question", "What does box " + id + " hold?"},
                           {"answer", "v" + std::to_string(i)},
                           {"gold", {id}},
                           {"category", i < 8 ? 4 : 2}});
    }
    questions[0]["gold"] = {"n0", "n1"};
    questions[1].erase("answer");
    const nlohmann::json store = {{"id", "s"}, {"memories", memories}, {"questions", questions}};
    const std::string path = folder_.File("store_boxes.jsonl");
    EXPECT_OK(WriteFileAtomically(path, store.dump() + "\n"));
    return path;
  }

  std::string StoryFile() {
    const std::string path = folder_.File("qa1_single-supporting-fact_test.txt");
    EXPECT_OK(WriteFileAtomically(path,
                                  "1 Mary went to the garden.\n2 John went to the hall.\n"
                                  "3 Where is Mary? \tgarden\t1\n4 Mary went to the hall.\n"
                                  "5 Where is Mary? \thall\t4\n"
                                  "1 John went to the park.\n2 Is John here? \tno\t1\n"));
    return path;
  }

  const testing::TempDir folder_;
};

TEST_F(MakeTextsTest, AStoresQuestionsBecomeItemsAndAGateSuite) {
  ASSERT_OK_AND_ASSIGN(const auto made, MakeFromTexts(StoreFile(), {.memories = 3}));
  ASSERT_EQ(made.size(), 2u);
  const Suite items = Read(made, "boxes_k3");
  EXPECT_EQ(items.items.size(), 8u) << "without the two that no single memory answers";
  for (const Item& item : items.items) {
    ASSERT_EQ(item.memories.size(), 3u);
    ASSERT_EQ(item.gold.size(), 1u);
    EXPECT_THAT(item.memories[item.gold[0]].text, HasSubstr("holds" + item.answer + "."));
    std::set<std::string> texts;
    for (const ItemMemory& memory : item.memories) texts.insert(memory.text);
    EXPECT_EQ(texts.size(), 3u);
  }
  const Suite gate = Read(made, "gate_boxes");
  ASSERT_EQ(gate.items.size(), 16u);
  for (size_t i = 0; i < gate.items.size(); i += 2) {
    EXPECT_TRUE(gate.items[i].needed);
    EXPECT_FALSE(gate.items[i + 1].needed);
    EXPECT_EQ(gate.items[i].question, gate.items[i + 1].question);
    EXPECT_TRUE(gate.items[i + 1].gold.empty());
    for (const ItemMemory& memory : gate.items[i + 1].memories) {
      EXPECT_NE(memory.text, gate.items[i].memories[gate.items[i].gold[0]].text);
    }
  }
}

TEST_F(MakeTextsTest, NameCategoryAndSeedAreChosen) {
  const std::string path = StoreFile();
  ASSERT_OK_AND_ASSIGN(
      const auto made,
      MakeFromTexts(path, {.memories = 2, .name = "crates", .category = "2 temporal"}));
  EXPECT_EQ(Read(made, "crates_k2").items.size(), 2u);
  ASSERT_OK_AND_ASSIGN(
      const auto again,
      MakeFromTexts(path, {.memories = 2, .name = "crates", .category = "2 temporal"}));
  EXPECT_EQ(again[0].lines, made[0].lines);
  ASSERT_OK_AND_ASSIGN(const auto a, MakeFromTexts(path, {.seed = 1, .memories = 3}));
  ASSERT_OK_AND_ASSIGN(const auto b, MakeFromTexts(path, {.seed = 2, .memories = 3}));
  EXPECT_NE(a[0].lines, b[0].lines);
}

TEST_F(MakeTextsTest, WhatOtherSuitesAskIsLeftOut) {
  const std::string path = StoreFile();
  ASSERT_OK_AND_ASSIGN(const auto first, MakeFromTexts(path, {.items = 5, .memories = 3}));
  const Suite seen = Read(first, "boxes_k3");
  ASSERT_OK_AND_ASSIGN(
      const auto second,
      MakeFromTexts(
          path, {.memories = 3, .name = "more", .without = {folder_.File("made/boxes_k3.jsonl")}}));
  const Suite more = Read(second, "more_k3");
  EXPECT_EQ(more.items.size(), 3u);
  for (const Item& item : more.items) {
    for (const Item& other : seen.items) EXPECT_NE(item.question, other.question);
  }
  EXPECT_THAT(MakeFromTexts(path, {.memories = 3, .without = {folder_.File("made")}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no question")));
}

TEST_F(MakeTextsTest, AStorysQuestionsSeeWhatWasToldBefore) {
  ASSERT_OK_AND_ASSIGN(const auto made, MakeFromTexts(StoryFile(), {}));
  const Suite suite = Read(made, "babi_qa1");
  ASSERT_EQ(suite.items.size(), 3u);
  for (const Item& item : suite.items) {
    if (item.question == "Is John here?") {
      EXPECT_EQ(item.answer_prefix, "The answer is");
      ASSERT_EQ(item.memories.size(), 1u) << "a story of its own";
      continue;
    }
    EXPECT_EQ(item.answer_prefix, "Mary is in the");
    ASSERT_EQ(item.memories.size(), item.answer == " garden" ? 2u : 3u);
    EXPECT_THAT(item.gold, ElementsAre(item.answer == " garden" ? 0 : 2));
  }
  ASSERT_OK_AND_ASSIGN(const auto short_ones, MakeFromTexts(StoryFile(), {.memories = 2}));
  EXPECT_EQ(Read(short_ones, "babi_qa1").items.size(), 2u);
}

TEST_F(MakeTextsTest, WhatIsWrongIsSaid) {
  EXPECT_THAT(MakeFromTexts(folder_.File("none.txt"), {}).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.txt")));
  EXPECT_THAT(MakeFromTexts(StoreFile(), {.memories = 10}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has 10 memories")));
  EXPECT_THAT(MakeFromTexts(StoreFile(), {.items = 0}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("items is 0")));
  const std::string bad = folder_.File("bad.txt");
  ASSERT_OK(WriteFileAtomically(bad, "1 Told.\n2 Asked?\tyes\t7\n"));
  EXPECT_THAT(MakeFromTexts(bad, {}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 2: 7 is no sentence")));
  ASSERT_OK(WriteFileAtomically(bad, "no number\n"));
  EXPECT_THAT(MakeFromTexts(bad, {}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 1")));
}

}  // namespace
}  // namespace dki::eval
