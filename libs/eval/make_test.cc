// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "libs/eval/make_notes.h"
#include "libs/eval/make_random.h"
#include "libs/eval/make_suites.h"
#include "libs/eval/suite.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::eval {
namespace {

using Json = nlohmann::json;

std::vector<Json> Items(const std::vector<MadeSuite>& suites, const std::string& name) {
  std::vector<Json> items;
  for (const MadeSuite& suite : suites) {
    if (suite.name != name) continue;
    std::istringstream lines(suite.lines);
    for (std::string line; std::getline(lines, line);) items.push_back(Json::parse(line));
  }
  return items;
}

TEST(MakeTest, RandomIsSplitmix64) {
  Random random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317u);  // the reference implementation's first numbers
  EXPECT_EQ(random.Next(), 3203168211198807973u);
}

TEST(MakeTest, TheSameSeedGivesTheSameBytesAndAnotherSeedOthers) {
  const auto a = *MakeSuites({.seed = 7, .items = 12});
  const auto b = *MakeSuites({.seed = 7, .items = 12});
  const auto c = *MakeSuites({.seed = 8, .items = 12});
  ASSERT_EQ(a.size(), 13u);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].lines, b[i].lines) << a[i].name;
    EXPECT_NE(a[i].lines, c[i].lines) << a[i].name;
  }
}

TEST(MakeTest, MoreItemsBeginWithTheSameOnes) {
  const auto few = Items(*MakeSuites({.seed = 7, .items = 10}), "facts_k4");
  const auto many = Items(*MakeSuites({.seed = 7, .items = 30}), "facts_k4");
  ASSERT_EQ(many.size(), 30u);
  for (size_t i = 0; i < few.size(); ++i) EXPECT_EQ(few[i], many[i]);
}

TEST(MakeTest, EveryLookupItemTellsItsAnswerOnceAndBehindThePrefix) {
  const auto suites = *MakeSuites({.seed = 3, .items = 50});
  for (const char* name : {"facts_k1", "facts_k2", "facts_k16", "facts_k4_after_6_turns",
                           "numbers_k1", "numbers_k8"}) {
    const auto items = Items(suites, name);
    ASSERT_EQ(items.size(), 50u) << name;
    for (const Json& item : items) {
      const std::string answer = item["answer"].get<std::string>() + ".";
      int told = 0;
      for (const Json& memory : item["memories"]) {
        const std::string text = memory["text"].get<std::string>();
        if (!text.ends_with(answer)) continue;
        ++told;
        EXPECT_EQ(memory["id"], item["gold"][0]);
        EXPECT_EQ(text, item["answer_prefix"].get<std::string>() + answer);
      }
      EXPECT_EQ(told, 1) << item;
      EXPECT_EQ(item["history"].size(), std::string(name).ends_with("turns") ? 6u : 0u);
    }
  }
}

TEST(MakeTest, GateHasTheFourKindsAndNobodyToldAnAbsentFact) {
  std::map<std::string, int> kinds;
  for (const Json& item : Items(*MakeSuites({.seed = 3, .items = 100}), "gate")) {
    const std::string kind = item["kind"];
    ++kinds[kind];
    EXPECT_EQ(item["needed"], kind == "needed");
    EXPECT_EQ(item["gold"].empty(), kind != "needed");
    if (kind != "absent fact") continue;
    for (const Json& memory : item["memories"]) {
      EXPECT_FALSE(memory["text"].get<std::string>().starts_with(
          item["answer_prefix"].get<std::string>() + " "))
          << item;
    }
  }
  EXPECT_THAT(kinds, ::testing::UnorderedElementsAre(::testing::Pair("needed", 60),
                                                     ::testing::Pair("absent fact", 20),
                                                     ::testing::Pair("instruction", 20),
                                                     ::testing::Pair("unrelated question", 20)));
}

TEST(MakeTest, NotesHoldTheirAnswersAndHalvesAskForDifferentNotes) {
  for (const PersonalNote& note : PersonalNotes()) {
    EXPECT_NE(note.note.find(note.answer), std::string_view::npos) << note.note;
    EXPECT_EQ(note.question.find(note.answer), std::string_view::npos) << note.question;
  }
  for (const char* name : {"notes_k6", "gate_notes"}) {
    const auto items = Items(*MakeSuites({.seed = 3, .items = 200}), name);
    ASSERT_EQ(items.size(), 200u);
    std::set<std::string> halves[2];
    int n_needed = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      EXPECT_EQ(items[i]["memories"].size(), 6u);
      EXPECT_EQ(items[i]["needed"], items[i]["kind"] == "needed");
      EXPECT_EQ(items[i]["gold"].empty(), items[i]["kind"] != "needed");
      if (items[i]["kind"] != "needed") continue;
      ++n_needed;
      halves[i / 100].insert(items[i]["question"].get<std::string>());
      for (const Json& memory : items[i]["memories"]) {
        if (memory["id"] != items[i]["gold"][0]) continue;
        EXPECT_THAT(memory["text"].get<std::string>(),
                    ::testing::HasSubstr(items[i]["answer"].get<std::string>().substr(1)));
      }
    }
    EXPECT_EQ(n_needed, std::string(name) == "notes_k6" ? 200 : 100);
    EXPECT_EQ(halves[0].size(), PersonalNotes().size() / 2) << name;
    for (const std::string& question : halves[0]) EXPECT_FALSE(halves[1].contains(question));
  }
}

TEST(MakeTest, PoisonHoldsTheAttackInItsNoteAloneForEachClassAndOwner) {
  std::map<std::string, int> kinds;
  std::set<std::string> cells;
  const auto items = Items(*MakeSuites({.seed = 3, .items = 10}), "poison");
  EXPECT_GE(items.size(), 300u);
  for (const Json& item : items) {
    const std::string kind = item["kind"];
    const std::string attack = item["attack"];
    ++kinds[kind];
    EXPECT_EQ(attack.empty(), kind == "benign");
    if (attack.empty()) continue;
    cells.insert(kind + item["source_class"].get<std::string>() + item["owner"].get<std::string>());
    EXPECT_EQ(item["question"].get<std::string>().find(attack), std::string::npos);
    for (const Json& memory : item["memories"]) {
      EXPECT_EQ(memory["text"].get<std::string>().find(attack) != std::string::npos,
                memory["id"] == item["poisoned"][0]);
    }
  }
  EXPECT_EQ(kinds.size(), 5u);
  EXPECT_EQ(cells.size(), 4u * 4 * 2);
  EXPECT_EQ(kinds["benign"], 100);
}

TEST(MakeTest, WrittenSuitesAreReadBack) {
  testing::TempDir dir;
  const auto suites = *MakeSuites({.seed = 5, .items = 6});
  ASSERT_OK(WriteSuites(suites, dir.path() + "/made"));
  const auto paths = FindSuites(dir.path() + "/made");
  ASSERT_OK(paths.status());
  EXPECT_EQ(paths->size(), suites.size());
  for (const std::string& path : *paths) EXPECT_OK(ReadSuite(path, {}).status());
}

TEST(MakeTest, TooFewItemsAreRefused) {
  EXPECT_EQ(MakeSuites({.items = 5}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace dki::eval
