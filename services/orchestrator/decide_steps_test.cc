// SPDX-License-Identifier: Apache-2.0
// What becomes of retrieved memories: joined, gated, weighed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "libs/base/check.h"
#include "libs/testing/status_matchers.h"
#include "services/orchestrator/candidates.h"
#include "services/orchestrator/gate_step.h"
#include "services/orchestrator/steps_fixture.h"
#include "services/orchestrator/weigh_step.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void AddHit(int n, float cosine, Hits* hits, int64_t version = 1) {
  auto* hit = hits->Add();
  hit->set_memory_id(Id("mem_", n));
  hit->set_version(version);
  hit->set_cosine(cosine);
}

TEST(Candidates, OutdatedAndVanishedHitsAreNotCurrent) {
  Hits hits;
  AddHit(3, 0.9f, &hits);
  AddHit(1, 0.8f, &hits);
  AddHit(2, 0.7f, &hits);
  Memories current;
  *current.Add() = Stored(2);
  *current.Add() = Stored(3, /*version=*/2);
  std::vector<Candidate> candidates = JoinHits(hits, current);
  ASSERT_EQ(candidates.size(), 3u);
  EXPECT_EQ(candidates[0].reason, "not_current");
  EXPECT_EQ(candidates[1].reason, "not_current");
  EXPECT_EQ(candidates[2].text, "Fact 2.");
  EXPECT_EQ(ApplyGate({.enabled = false}, nullptr, "", InPackOrder({}, candidates)).decision,
            "disabled");
  EXPECT_FALSE(candidates[0].passed);
  EXPECT_TRUE(candidates[2].passed);
}

TEST(Candidates, NamedOnesKeepTheirOrderAndMustExist) {
  Hits hits;
  AddHit(1, 0.5f, &hits);
  Memories current;
  *current.Add() = Stored(1);
  *current.Add() = Stored(2);
  const std::vector<std::string> ids = {Id("mem_", 2), Id("mem_", 1)};
  ASSERT_OK_AND_ASSIGN(const auto candidates, JoinNamed(ids, hits, current));
  EXPECT_EQ(candidates[0].id, ids[0]);
  EXPECT_EQ(candidates[0].cosine, 0.0f);
  EXPECT_EQ(candidates[1].cosine, 0.5f);
  const std::vector<std::string> unknown = {Id("mem_", 1), Id("mem_", 9)};
  EXPECT_THAT(JoinNamed(unknown, hits, current),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(unknown[1])));
}

injection::Calibration Calibration() {
  injection::Calibration calibration;
  calibration.model_fingerprint = "model";
  calibration.heads = {{1, 2}};
  calibration.relevance = {.cosine = 0.0, .recency = 0.0, .heads = {1.0}};
  calibration.answer = {.bias = std::log(10.0), .cosine = 0.0, .relevance = 1.0, .threshold = 0.5};
  calibration.lookup.answer = 2.0;
  return calibration;
}

TEST(Gate, AProbeLetsAllPassOrNone) {
  auto candidates = Passed({{2, 0.1f}, {1, 0.9f}});
  candidates[0].head_shares = {0.2};
  candidates[1].head_shares = {0.1};
  const auto calibration = Calibration();
  const Gated gated = ApplyGate({}, &calibration, "", InPackOrder({}, candidates));
  EXPECT_EQ(gated.decision, "inject");
  EXPECT_NEAR(*gated.probability, 2.0 / 3.0, 1e-3);
  EXPECT_TRUE(candidates[0].passed && candidates[1].passed);

  const auto chosen = ChooseMemories({}, &calibration, "What?", {}, InPackOrder({}, candidates));
  ASSERT_EQ(chosen.size(), 2u);
  EXPECT_EQ(chosen[0].id, Id("mem_", 1));
  EXPECT_EQ(chosen[0].rank, 1);
  EXPECT_NEAR(chosen[0].alpha.answer, 1.0, 1e-3);  // half as much attention, half the weight
  EXPECT_DOUBLE_EQ(chosen[1].alpha.answer, 2.0);
  EXPECT_TRUE(candidates[0].relevance.has_value());
  // Yes or no: another strength.
  EXPECT_DOUBLE_EQ(
      ChooseMemories({}, &calibration, "Is it?", {}, InPackOrder({}, candidates))[1].alpha.answer,
      1.0);
  // One of the two has two thirds of the probability.
  auto narrow = calibration;
  narrow.lookup.keep = 0.6;
  const auto best = ChooseMemories({}, &narrow, "What?", {}, InPackOrder({}, candidates));
  ASSERT_EQ(best.size(), 1u);
  EXPECT_EQ(best[0].id, Id("mem_", 2));
  EXPECT_EQ(candidates[1].reason, "improbable");

  for (Candidate& candidate : candidates) candidate.head_shares = {0.01};
  EXPECT_EQ(ApplyGate({}, &calibration, "", InPackOrder({}, candidates)).decision, "no_answer");
  EXPECT_FALSE(candidates[0].passed || candidates[1].passed);
  EXPECT_EQ(candidates[1].reason, "no_answer");
  // Open, it only weighs.
  EXPECT_EQ(ApplyGate({.enabled = false}, &calibration, "", InPackOrder({}, candidates)).decision,
            "disabled");
  EXPECT_TRUE(candidates[0].passed && candidates[1].passed);
}

TEST(Gate, WhoAsksAboutThemselvesNeedsLessEvidence) {
  auto candidates = Passed({{1, 0.4f}, {2, 0.1f}});
  auto calibration = Calibration();
  calibration.answer = {.bias = -3.0, .cosine = 5.0, .personal = 5.0, .threshold = 0.5};
  const auto ordered = InPackOrder({}, candidates);
  EXPECT_EQ(ApplyGate({}, &calibration, "What does Ann drive?", ordered).decision, "no_answer");
  EXPECT_EQ(ApplyGate({}, &calibration, "What do I drive?", ordered).decision, "inject");
}

TEST(Gate, WordsOfTheTurnAndOfWhatItLeansOnCount) {
  auto candidates = Passed({{1, 0.5f}, {2, 0.5f}});
  candidates[0].text = "Ann's bicycle is red.";
  candidates[1].text = "Ann's kite is in the attic.";
  const auto ordered = InPackOrder({}, candidates);
  ASSERT_OK_AND_ASSIGN(ChatTask task,
                       MakeChatTask({}, "t", Question("What colour is Ann's bicycle?"), "r"));
  CompareWords(task, ordered);
  EXPECT_GT(*candidates[0].words, 0.3);
  EXPECT_LT(*candidates[1].words, *candidates[0].words);
  auto calibration = Calibration();
  calibration.answer = {.bias = -3.0, .words = 10.0, .threshold = 0.5};
  for (Candidate& candidate : candidates) candidate.head_shares = {0.1};
  EXPECT_EQ(ApplyGate({}, &calibration, "", ordered).decision, "inject");
  ASSERT_OK_AND_ASSIGN(task, MakeChatTask({}, "t", Question("Who sings?"), "r"));
  CompareWords(task, ordered);
  EXPECT_EQ(ApplyGate({}, &calibration, "", ordered).decision, "no_answer");
  // "And where is it?" says nothing by itself.
  v1::ChatRequest request = Question("I cannot find my kite.");
  AddMessage(&request, "assistant", "Oh.");
  AddMessage(&request, "user", "And where is it?");
  ASSERT_OK_AND_ASSIGN(task, MakeChatTask({}, "t", request, "r"));
  CompareWords(task, ordered);
  EXPECT_GT(*candidates[1].words, *candidates[0].words);
}

TEST(Gate, ALaterNoteOnTheSameStateSupersedesAnEarlierOne) {
  // As the request names them: the later one first.
  auto candidates = Passed({{2, 0.5f}, {1, 0.5f}, {3, 0.5f}});
  candidates[0].text = "Ann moved to Rome.";
  candidates[1].text = "Ann moved to Porto.";
  candidates[2].text = "Bo sings.";
  const MemoryRules named = With<MemoryRules>([](auto& r) { r.ids = {"named"}; });
  const auto ordered = InPackOrder(named, candidates);
  for (Candidate& candidate : candidates) candidate.head_shares = {0.1};
  auto calibration = Calibration();
  calibration.relevance.superseded = 3.0;
  calibration.lookup.keep = 0.9;
  const auto choose = [&](const std::string& question) {
    for (Candidate& candidate : candidates) {
      candidate.later.clear();
      candidate.superseded_by.clear();
    }
    const auto task = MakeChatTask({}, "t", Question(question), "r");
    DKI_CHECK(task.ok());
    CompareWords(*task, ordered);
    ApplyGate({.enabled = false}, &calibration, "", ordered);
    std::vector<std::string> ids;
    for (const Chosen& memory : ChooseMemories({}, &calibration, question, named, ordered)) {
      ids.push_back(memory.id);
    }
    return ids;
  };
  EXPECT_THAT(choose("Where is Ann?"), ElementsAre(Id("mem_", 2), Id("mem_", 3)));
  EXPECT_EQ(candidates[1].superseded_by, Id("mem_", 2));
  EXPECT_EQ(candidates[0].superseded_by, "");
  // What others wrote takes nothing away from what the user said.
  candidates[0].source_class = common::v1::SOURCE_CLASS_DOCUMENT;
  EXPECT_EQ(choose("Where is Ann?").size(), 3u);
  EXPECT_EQ(candidates[1].superseded_by, "");
  candidates[1].source_class = common::v1::SOURCE_CLASS_DOCUMENT;
  EXPECT_EQ(choose("Where is Ann?").size(), 2u);
  candidates[0].source_class = candidates[1].source_class = common::v1::SOURCE_CLASS_USER;
  EXPECT_THAT(choose("Which towns did Ann move to?"),
              ElementsAre(Id("mem_", 2), Id("mem_", 1), Id("mem_", 3)));
  EXPECT_EQ(candidates[1].superseded_by, "");
}

TEST(Gate, PassesFromTheThresholdOn) {
  auto candidates = Passed({{1, 0.5f}, {2, 0.30f}, {3, 0.29f}});
  const Gated gated =
      ApplyGate({.enabled = true, .threshold = 0.30f}, nullptr, "", InPackOrder({}, candidates));
  EXPECT_EQ(gated.decision, "inject");
  EXPECT_FALSE(gated.probability.has_value());
  EXPECT_TRUE(candidates[0].passed);
  EXPECT_TRUE(candidates[1].passed);
  EXPECT_FALSE(candidates[2].passed);
  EXPECT_EQ(candidates[2].reason, "below_threshold");
}

TEST(Weigh, PackIsChronologicalAndRanksAreByCosine) {
  auto candidates = Passed({{5, 0.9f}, {2, 0.7f}, {9, 0.6f}});
  const auto chosen = Choose({}, candidates);
  ASSERT_EQ(chosen.size(), 3u);
  EXPECT_EQ(chosen[0].id, Id("mem_", 2));
  EXPECT_EQ(chosen[1].id, Id("mem_", 5));
  EXPECT_EQ(chosen[2].id, Id("mem_", 9));
  EXPECT_EQ(chosen[0].rank, 1);
  EXPECT_EQ(chosen[1].rank, 0);
  EXPECT_EQ(chosen[2].rank, 2);
  EXPECT_DOUBLE_EQ(chosen[1].alpha.read, 1.0);
  EXPECT_DOUBLE_EQ(chosen[1].alpha.answer, 2.0);
  EXPECT_NEAR(chosen[0].alpha.read, std::exp(2 * (0.7 - 0.9)), 1e-6);
}

TEST(Weigh, NamedMemoriesKeepTheGivenOrder) {
  auto candidates = Passed({{5, 0.9f}, {2, 0.7f}});
  const auto chosen = Choose(With<MemoryRules>([](auto& r) { r.ids = {"named"}; }), candidates);
  EXPECT_EQ(chosen[0].id, Id("mem_", 5));
}

TEST(Weigh, WhatOthersWroteComesLast) {
  auto candidates = Passed({{1, 0.9f}, {2, 0.8f}, {3, 0.7f}, {4, 0.6f}});
  candidates[0].source_class = common::v1::SOURCE_CLASS_DOCUMENT;
  candidates[2].source_class = common::v1::SOURCE_CLASS_ASSISTANT;
  const auto ids = [](const std::vector<Chosen>& chosen) {
    std::vector<std::string> all;
    for (const Chosen& memory : chosen) all.push_back(memory.id);
    return all;
  };
  EXPECT_THAT(ids(Choose({}, candidates)),
              ElementsAre(Id("mem_", 2), Id("mem_", 4), Id("mem_", 1), Id("mem_", 3)));
  EXPECT_EQ(Choose({}, candidates)[2].rank, 0);
  const auto named = Choose(With<MemoryRules>([](auto& r) { r.ids = {"named"}; }), candidates);
  EXPECT_EQ(named[0].id, Id("mem_", 1));
}

TEST(Weigh, WeightsOfSingleMemoriesGoBeforeAllElseAndAreCapped) {
  auto candidates = Passed({{1, 0.9f}, {2, 0.9f}, {3, 0.9f}});
  candidates[2].source_class = common::v1::SOURCE_CLASS_TOOL;
  MemoryRules rules;
  rules.alpha = 0.25;
  rules.weights[Id("mem_", 2)] = {3.0, 4.0};
  rules.weights[Id("mem_", 3)] = {3.0, 4.0};
  rules.weights[Id("mem_", 9)] = {3.0, 4.0};
  const auto chosen = Choose(rules, candidates);
  ASSERT_EQ(chosen.size(), 3u);
  EXPECT_DOUBLE_EQ(chosen[0].alpha.answer, 0.25);
  EXPECT_DOUBLE_EQ(chosen[1].alpha.read, 3.0);
  EXPECT_DOUBLE_EQ(chosen[1].alpha.answer, 4.0);
  EXPECT_DOUBLE_EQ(chosen[2].alpha.answer, 0.5);
  EXPECT_TRUE(chosen[2].alpha.capped);
  rules.weights[Id("mem_", 2)] = {};
  rules.weights[Id("mem_", 2)].read = rules.weights[Id("mem_", 2)].answer = 0.0;
  EXPECT_EQ(Choose(rules, candidates).size(), 2u);
}

TEST(Weigh, ForcedAlphaIsCappedAndZeroLeavesNothing) {
  auto candidates = Passed({{1, 0.9f}, {2, 0.7f}});
  candidates[1].source_class = common::v1::SOURCE_CLASS_TOOL;
  const auto chosen = Choose(With<MemoryRules>([](auto& r) { r.alpha = 4.0; }), candidates);
  EXPECT_DOUBLE_EQ(chosen[0].alpha.read, 4.0);
  EXPECT_FALSE(chosen[0].alpha.capped);
  EXPECT_DOUBLE_EQ(chosen[1].alpha.answer, 0.5);
  EXPECT_TRUE(chosen[1].alpha.capped);
  MemoryRules zero;
  zero.alpha = 0.0;
  EXPECT_TRUE(Choose(zero, candidates).empty());
  EXPECT_EQ(candidates[0].reason, "weightless");
  // Text in the prompt has no weight to turn down.
  zero.mode = common::v1::MODE_PROMPT;
  EXPECT_EQ(Choose(zero, candidates).size(), 2u);
}

TEST(Weigh, RanksAreAPermutationBestFirst) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> cosines(random() % 20);
    for (double& cosine : cosines) cosine = static_cast<double>(random() % 7) / 7.0;
    const std::vector<int> ranks = RanksByScore(cosines);
    for (size_t a = 0; a < cosines.size(); ++a) {
      for (size_t b = 0; b < cosines.size(); ++b) {
        if (cosines[a] > cosines[b] || (cosines[a] == cosines[b] && a < b)) {
          EXPECT_LT(ranks[a], ranks[b]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace dki::orchestrator
