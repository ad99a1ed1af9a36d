// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/seed_experiments.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "libs/eval/text_scores.h"
#include "libs/testing/status_matchers.h"

namespace dki::eval {
namespace {

TEST(TextScoresTest, BleuByHand) {
  EXPECT_NEAR(Bleu("The cat sat on the mat.", "the cat sat on the mat"), 1, 1e-12);
  // Five words of six: 5/5, 4/4, 3/3, 2/2 and the brevity penalty exp(1 - 6/5).
  EXPECT_NEAR(Bleu("the cat sat on the", "the cat sat on the mat"), std::exp(-0.2), 1e-12);
  // Unigrams 3/4 ("the" is clipped to one), bigrams 1/3, then 0.1/2 and 0.1/1.
  EXPECT_NEAR(Bleu("the the cat sat", "a cat sat the"),
              std::pow(3.0 / 4 * 1.0 / 3 * 0.1 / 2 * 0.1 / 1, 0.25), 1e-12);
  EXPECT_EQ(Bleu("dog", "cat"), 0);
  EXPECT_EQ(Bleu("", "cat"), 0);
}

TEST(TextScoresTest, RougeLByHand) {
  // Longest common subsequence "police the gunman": 3 of 4 and 3 of 4.
  EXPECT_DOUBLE_EQ(RougeL("police ended the gunman", "police killed the gunman"), 0.75);
  EXPECT_DOUBLE_EQ(RougeL("a b c d e f", "f a c"), 2.0 * 2 / 9);
  EXPECT_EQ(RougeL("", "a"), 0);
  EXPECT_EQ(RougeL("b", "a"), 0);
}

TEST(TextScoresTest, RecallNeedsMoreThanAnEchoOfTheQuestion) {
  const std::vector<std::string> expected = {"Greta collects stamps."};
  EXPECT_EQ(MemoryRecall("She collects stamps.", "What does Greta collect?", expected), 1.0);
  EXPECT_EQ(MemoryRecall("Greta Greta.", "What does Greta collect?", expected), 0.0);
  EXPECT_FALSE(MemoryRecall("anything", "What?", {}).has_value());
}

TEST(TextScoresTest, AStatementWithoutAKnownWordIsHallucinated) {
  const std::vector<std::string> grounding = {"Greta collects stamps."};
  EXPECT_EQ(HallucinationRate("Greta is a collector. The moon is made of cheese!", grounding), 0.5);
  EXPECT_FALSE(HallucinationRate("Stamps, probably.", grounding).has_value());
}

TEST(SeedExperimentsTest, EveryItemIsAnotherAndAFifthAsksForWhatNobodyTold) {
  for (const char* name : {"comparison", "alpha_sensitivity"}) {
    const auto experiment = MakeSeedExperiment(name, 1, 100);
    ASSERT_OK(experiment.status());
    ASSERT_OK(ParseArms(experiment->arms).status());
    for (const Suite& suite : experiment->suites) {
      std::set<std::string> distinct;
      int untold = 0;
      for (const Item& item : suite.items) {
        std::string all = item.question;
        for (const ItemMemory& memory : item.memories) all += memory.text;
        distinct.insert(all);
        untold += item.gold.empty() ? 1 : 0;
        EXPECT_EQ(item.needed, !item.gold.empty());
        if (item.gold.empty()) continue;
        EXPECT_TRUE(item.memories[item.gold[0]].text.ends_with(item.answer + ".")) << item.id;
      }
      EXPECT_EQ(distinct.size(), 100u) << suite.name;
      EXPECT_EQ(untold, 20) << suite.name;
    }
  }
  EXPECT_EQ(MakeSeedExperiment("other", 1, 100).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SeedExperimentsTest, AReplyThatSaysTheNoteScoresFullAndAnEchoNothing) {
  const auto experiment = *MakeSeedExperiment("alpha_sensitivity", 1, 10);
  std::vector<KnownResult> results;
  for (const Item& item : experiment.suites[0].items) {
    for (const char* arm : {"vanilla", "injected"}) {
      KnownResult known{.suite = "memory_qa", .id = item.id, .arm = arm, .result = {}};
      known.result.reply = item.answer_prefix + " something.";  // an echo recalls nothing
      if (arm == std::string("injected") && !item.gold.empty())
        known.result.reply = item.memories[item.gold[0]].text;
      known.result.first_token_ms = static_cast<double>(results.size() / 2 + 1);
      results.push_back(known);
    }
  }
  const auto scores = ScoreSeedExperiment(experiment, results);
  ASSERT_EQ(scores.size(), 6u);
  EXPECT_EQ(scores[0].arm, "vanilla");
  EXPECT_EQ(scores[0].memory_recall, 0);
  EXPECT_EQ(scores[5].arm, "injected");
  EXPECT_EQ(scores[5].n, 10);
  EXPECT_EQ(scores[5].memory_recall, 100);
  EXPECT_EQ(scores[5].rouge_l, 100);
  EXPECT_EQ(scores[5].hallucination_rate, 0);
  EXPECT_DOUBLE_EQ(scores[5].first_token_ms_mean, 5.5);
  EXPECT_EQ(scores[5].first_token_ms_p95, 10);
  const auto json = nlohmann::json::parse(SeedScoresJson("alpha_sensitivity", scores));
  EXPECT_EQ(json["suites"]["memory_qa"]["arms"]["injected"]["memory_recall"], 100.0);
}

}  // namespace
}  // namespace dki::eval
