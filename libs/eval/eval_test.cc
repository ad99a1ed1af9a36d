// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "libs/eval/arm.h"
#include "libs/eval/report.h"
#include "libs/eval/scoring.h"
#include "libs/eval/suite.h"
#include "libs/testing/temp_dir.h"

namespace dki::eval {
namespace {

TEST(ScoringTest, WholeWordsWhateverCaseAndPunctuation) {
  EXPECT_TRUE(ReplyHolds("Sam's home city is **Denver**.", " Denver"));
  EXPECT_TRUE(ReplyHolds("It is the ice-cream van!", "ice cream"));
  EXPECT_FALSE(ReplyHolds("They live in Denverton.", "Denver"));
  EXPECT_FALSE(ReplyHolds("The code is 14931.", "4931"));
  EXPECT_FALSE(ReplyHolds("anything", " "));
  EXPECT_FALSE(ReplyHolds("", "Denver"));
}

TEST(ScoringTest, McNemarIsExact) {
  EXPECT_DOUBLE_EQ(McNemar(0, 0), 1.0);
  EXPECT_NEAR(McNemar(0, 5), 2 * std::pow(0.5, 5), 1e-12);
  EXPECT_NEAR(McNemar(5, 0), McNemar(0, 5), 1e-15);
  EXPECT_NEAR(McNemar(1, 3), 2 * (1 + 4) * std::pow(0.5, 4), 1e-12);
}

TEST(ScoringTest, StandardErrorOfAShare) {
  EXPECT_NEAR(StandardErrorPercent(50, 100), 5.0, 1e-12);
  // 1, 2, 3: variance 1.
  EXPECT_NEAR(StandardErrorOfMean(6, 14, 3), std::sqrt(1.0 / 3), 1e-12);
  EXPECT_EQ(StandardErrorOfMean(6, 36, 1), 0);
}

TEST(ArmTest, NamesAndSettings) {
  const auto arms = ParseArms(
      "vanilla,prompt_late,injected,default,injected:alpha=2,injected:beta=5,read=1,answer=3,"
      "prompt_late:top=1");
  ASSERT_TRUE(arms.ok()) << arms.status();
  ASSERT_EQ(arms->size(), 7u);
  EXPECT_EQ((*arms)[2].alpha, 1.0);
  EXPECT_FALSE((*arms)[3].alpha.has_value());
  EXPECT_EQ((*arms)[4].alpha, 2.0);
  EXPECT_FALSE((*arms)[5].alpha.has_value());
  EXPECT_EQ((*arms)[5].policy.beta, 5.0);
  EXPECT_EQ((*arms)[5].policy.answer, 3.0);
  EXPECT_EQ((*arms)[6].top, 1);
}

TEST(ArmTest, EachSettingChangesOneThing) {
  const auto steep = *ParseArm("injected:beta=5");
  EXPECT_EQ(steep.policy.beta, 5.0);
  EXPECT_EQ(steep.policy.answer, 1.0);
  const auto scheduled = *ParseArm("injected:alpha=2,beta=5,schedule=1-1.5");
  EXPECT_EQ(scheduled.policy.read, 2.0);
  EXPECT_EQ(scheduled.policy.answer, 3.0);
  const auto changed = *ParseArm("default:beta=5");
  EXPECT_EQ(changed.policy.beta, 5.0);
  EXPECT_EQ(changed.policy.answer, 2.0);
  EXPECT_EQ(ParseArm("injected:schedule=1-2")->policy.beta, 0.0);
}

TEST(ArmTest, WhatIsNotUnderstoodIsNamed) {
  for (const char* text :
       {"", "nonsense", "injected:gamma=1", "injected:alpha=17", "injected:alpha=x",
        "prompt_late:alpha=1", "injected:top=0", "injected:schedule=1", "injected:schedule=1-x"}) {
    EXPECT_EQ(ParseArm(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ArmTest, DefaultIsTheProductsPolicy) {
  const double cosines[] = {0.7, 0.2, 0.5};
  const WeighedItem w = Weigh(*ParseArm("default"), cosines);
  ASSERT_EQ(w.kept, (std::vector<int>{0, 1, 2}));
  EXPECT_DOUBLE_EQ(w.alphas[0].read, 1.0);
  EXPECT_DOUBLE_EQ(w.alphas[0].answer, 2.0);
  EXPECT_DOUBLE_EQ(w.alphas[1].read, std::exp(-1.0));
  EXPECT_EQ(w.ranks, (std::vector<int>{0, 2, 1}));
  EXPECT_DOUBLE_EQ(w.alphas[2].answer, 2 * std::exp(2 * (0.5 - 0.7)));
}

TEST(ArmTest, TopKeepsTheOrderOfThePack) {
  const double cosines[] = {0.2, 0.9, 0.1, 0.5};
  EXPECT_EQ(Weigh(*ParseArm("prompt_late:top=2"), cosines).kept, (std::vector<int>{1, 3}));
}

TEST(SuiteTest, ReadsItemsAndNamesTheBadLine) {
  testing::TempDir dir;
  const std::string path = dir.path() + "/s.jsonl";
  std::ofstream(path)
      << R"({"id":"a","question":"q","answer":" x","memories":[{"id":"m","text":"t"}],"history":[]})"
      << "\n"
      << R"({"id":"b","question":"q"})"
      << "\n";
  EXPECT_EQ(ReadSuite(path, 1)->items.size(), 1u);
  const auto bad = ReadSuite(path, 0);
  EXPECT_NE(std::string(bad.status().message()).find("line 2"), std::string::npos) << bad.status();
  EXPECT_EQ(FindSuites(dir.path() + "/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FindSuites(dir.path())->size(), 1u);
}

// Answers every item right for one arm and the first item for the others.
class ScriptedSource : public AnswerSource {
 public:
  absl::Status Prepare(const Item&) override { return absl::OkStatus(); }
  absl::StatusOr<ItemResult> Answer(const Item& item, const Arm& arm) override {
    ItemResult result;
    if (arm.name == "default" || item.id == "0") result.reply = "it is " + item.answer;
    result.exact = true;
    result.nll = 2.0;
    result.prompt_tokens = 10;
    return result;
  }
};

TEST(RunnerTest, AddsUpAndCompares) {
  Suite suite{"s", {}};
  for (int i = 0; i < 10; ++i) suite.items.push_back({std::to_string(i), {}, {}, "q", "", " gold"});
  const auto arms = *ParseArms("vanilla,prompt_late,default");
  ScriptedSource source;
  int lines = 0;
  RunOptions options;
  options.raw = [&lines](const std::string&) { ++lines; };
  const auto results = eval::Run({suite}, arms, &source, options);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(lines, 30);
  const auto json = nlohmann::json::parse(ReportJson(*results, arms));
  EXPECT_EQ(json["s"]["n"], 10);
  EXPECT_EQ(json["s"]["arms"]["default"]["reply"], 100.0);
  EXPECT_EQ(json["s"]["arms"]["prompt_late"]["reply"], 10.0);
  EXPECT_EQ(json["s"]["arms"]["prompt_late"]["nll"], 2.0);
  const Comparison c = Compare(*results, arms);
  EXPECT_EQ(c.ratio, 10.0);
  EXPECT_EQ(c.only_injected, 9);
  EXPECT_EQ(c.only_prompt, 0);
}

class FailingSource : public ScriptedSource {
 public:
  absl::StatusOr<ItemResult> Answer(const Item& item, const Arm& arm) override {
    if (item.id == "3") return Unavailable("gone");
    return ScriptedSource::Answer(item, arm);
  }
};

TEST(RunnerTest, AFailureEndsTheRunAndNamesTheItem) {
  Suite suite{"s", {}};
  for (int i = 0; i < 10; ++i) suite.items.push_back({std::to_string(i), {}, {}, "q", "", " gold"});
  FailingSource source;
  const auto results = eval::Run({suite}, *ParseArms("default"), &source, {});
  ASSERT_FALSE(results.ok());
  EXPECT_NE(std::string(results.status().message()).find("s 3, arm default"), std::string::npos);
}

}  // namespace
}  // namespace dki::eval
