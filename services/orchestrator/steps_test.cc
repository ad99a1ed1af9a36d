// SPDX-License-Identifier: Apache-2.0
// The pipeline's pure steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "absl/time/clock.h"
#include "libs/base/sha256.h"
#include "libs/testing/status_matchers.h"
#include "services/orchestrator/assemble_step.h"
#include "services/orchestrator/candidates.h"
#include "services/orchestrator/chat_task.h"
#include "services/orchestrator/gate_step.h"
#include "services/orchestrator/limits.h"
#include "services/orchestrator/records.h"
#include "services/orchestrator/server.h"
#include "services/orchestrator/weigh_step.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Id(const std::string& prefix, int n) {
  return prefix + absl::StrFormat("%032x", n);
}

v1::ChatRequest Question(const std::string& text) {
  v1::ChatRequest request;
  auto* message = request.add_messages();
  message->set_role("user");
  message->set_content(text);
  return request;
}

struct BadRequest {
  std::string name;
  std::function<void(v1::ChatRequest*)> spoil;
  std::vector<std::string> words;  // field and limit
};

class BadRequests : public ::testing::TestWithParam<BadRequest> {};

TEST_P(BadRequests, NameFieldAndLimit) {
  v1::ChatRequest request = Question("Hello");
  ASSERT_OK(MakeChatTask({}, "t", request, "r"));
  GetParam().spoil(&request);
  const auto task = MakeChatTask({}, "t", request, "r");
  for (const std::string& word : GetParam().words) {
    EXPECT_THAT(task, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(word)));
  }
}

void AddMessage(v1::ChatRequest* request, const std::string& role, const std::string& content) {
  auto* message = request->add_messages();
  message->set_role(role);
  message->set_content(content);
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

INSTANTIATE_TEST_SUITE_P(
    All, BadRequests,
    ::testing::Values(
        BadRequest{"no_message", [](auto* r) { r->clear_messages(); }, {"messages"}},
        BadRequest{"role",
                   [](auto* r) { r->mutable_messages(0)->set_role("robot"); },
                   {"messages[0].role", "robot"}},
        BadRequest{"answer_last",
                   [](auto* r) { AddMessage(r, "assistant", "x"); },
                   {"messages[1].role", "user"}},
        BadRequest{"system_later",
                   [](auto* r) {
                     AddMessage(r, "system", "x");
                     AddMessage(r, "user", "x");
                   },
                   {"messages[1].role"}},
        BadRequest{"empty_turn",
                   [](auto* r) { r->mutable_messages(0)->set_content(" \n"); },
                   {"messages[0].content"}},
        BadRequest{"nul",
                   [](auto* r) { r->mutable_messages(0)->set_content(std::string("a\0b", 3)); },
                   {"messages[0].content", "NUL"}},
        BadRequest{"utf8",
                   [](auto* r) { r->mutable_messages(0)->set_content("a\xff"); },
                   {"messages[0].content", "UTF-8"}},
        BadRequest{
            "long_turn",
            [](auto* r) { r->mutable_messages(0)->set_content(std::string((1 << 20) + 1, 'x')); },
            {"messages[0].content", "1048576"}},
        BadRequest{"total",
                   [](auto* r) {
                     for (int i = 0; i < 5; ++i) AddMessage(r, "user", std::string(1 << 20, 'x'));
                   },
                   {"messages", "4194304"}},
        BadRequest{"user_id",
                   [](auto* r) { r->mutable_scope()->set_user_id(std::string(257, 'x')); },
                   {"scope.user_id", "256"}},
        BadRequest{"request_id",
                   [](auto* r) { r->set_request_id(std::string(129, 'x')); },
                   {"request_id", "128"}},
        BadRequest{
            "conversation", [](auto* r) { r->set_conversation_id("x"); }, {"conversation_id"}},
        BadRequest{"conversation_with_history",
                   [](auto* r) {
                     r->set_conversation_id(Id("conv_", 1));
                     AddMessage(r, "user", "x");
                   },
                   {"messages", "conversation_id"}},
        BadRequest{
            "k_negative", [](auto* r) { r->mutable_memory()->set_k(-1); }, {"memory.k", "256"}},
        BadRequest{"k_zero", [](auto* r) { r->mutable_memory()->set_k(0); }, {"memory.k", "256"}},
        BadRequest{
            "k_large", [](auto* r) { r->mutable_memory()->set_k(257); }, {"memory.k", "256"}},
        BadRequest{"alpha_negative",
                   [](auto* r) { r->mutable_memory()->set_alpha(-1); },
                   {"memory.alpha", "16"}},
        BadRequest{"alpha_nan",
                   [](auto* r) { r->mutable_memory()->set_alpha(kNan); },
                   {"memory.alpha", "16"}},
        BadRequest{"alpha_large",
                   [](auto* r) { r->mutable_memory()->set_alpha(16.01); },
                   {"memory.alpha", "16"}},
        BadRequest{"alpha_infinite",
                   [](auto* r) { r->mutable_memory()->set_alpha(kInfinity); },
                   {"memory.alpha"}},
        BadRequest{"composition",
                   [](auto* r) { r->mutable_memory()->set_composition("repair(0)"); },
                   {"memory.composition", "repair(N)"}},
        BadRequest{"law",
                   [](auto* r) { r->mutable_memory()->set_law("x"); },
                   {"memory", "law", "as_original"}},
        BadRequest{"law_without_alpha",
                   [](auto* r) { r->mutable_memory()->set_law("blend"); },
                   {"memory.law", "memory.alpha"}},
        BadRequest{"blend_above_one",
                   [](auto* r) {
                     r->mutable_memory()->set_law("blend");
                     r->mutable_memory()->set_alpha(1.5);
                   },
                   {"memory.alpha", "from 0 to 1"}},
        BadRequest{"layers",
                   [](auto* r) { r->mutable_memory()->set_layers("9-3"); },
                   {"memory", "layers", "7-22"}},
        BadRequest{"weight_large",
                   [](auto* r) {
                     auto* weight = r->mutable_memory()->add_weights();
                     weight->set_memory_id(Id("mem_", 1));
                     weight->set_alpha_answer(17);
                   },
                   {"memory.weights[0].alpha_answer", "16"}},
        BadRequest{"weight_twice",
                   [](auto* r) {
                     for (int i = 0; i < 2; ++i) {
                       r->mutable_memory()->add_weights()->set_memory_id(Id("mem_", 1));
                     }
                   },
                   {"memory.weights[1].memory_id", "twice"}},
        BadRequest{"threshold",
                   [](auto* r) { r->mutable_memory()->set_threshold(static_cast<float>(kNan)); },
                   {"memory.threshold"}},
        BadRequest{
            "mode",
            [](auto* r) { r->mutable_memory()->set_mode(static_cast<common::v1::Mode>(99)); },
            {"memory.mode", "99"}},
        BadRequest{"place",
                   [](auto* r) {
                     r->mutable_memory()->set_prompt_place(
                         static_cast<common::v1::PromptPlace>(77));
                   },
                   {"memory.prompt_place", "77"}},
        BadRequest{"context",
                   [](auto* r) {
                     r->mutable_memory()->set_pack_context(
                         static_cast<common::v1::PackContext>(-3));
                   },
                   {"memory.pack_context"}},
        BadRequest{"memory_id",
                   [](auto* r) { r->mutable_memory()->add_memory_ids("mem_1"); },
                   {"memory.memory_ids[0]"}},
        BadRequest{"memory_id_twice",
                   [](auto* r) {
                     r->mutable_memory()->add_memory_ids(Id("mem_", 1));
                     r->mutable_memory()->add_memory_ids(Id("mem_", 1));
                   },
                   {"memory.memory_ids[1]", "twice"}},
        BadRequest{"memory_ids",
                   [](auto* r) {
                     for (int i = 0; i < 257; ++i) {
                       r->mutable_memory()->add_memory_ids(Id("mem_", i));
                     }
                   },
                   {"memory.memory_ids", "256"}},
        BadRequest{"min_position",
                   [](auto* r) { r->mutable_memory()->set_min_position(-1); },
                   {"memory.min_position"}},
        BadRequest{"temperature",
                   [](auto* r) { r->mutable_sampling()->set_temperature(-0.5f); },
                   {"sampling.temperature", "10"}},
        BadRequest{
            "top_p", [](auto* r) { r->mutable_sampling()->set_top_p(0.0f); }, {"sampling.top_p"}},
        BadRequest{
            "min_p", [](auto* r) { r->mutable_sampling()->set_min_p(1.0f); }, {"sampling.min_p"}},
        BadRequest{"penalty",
                   [](auto* r) { r->mutable_sampling()->set_repetition_penalty(0.0f); },
                   {"sampling.repetition_penalty"}},
        BadRequest{"max_tokens",
                   [](auto* r) { r->mutable_sampling()->set_max_tokens(-5); },
                   {"sampling.max_tokens"}},
        BadRequest{"stop",
                   [](auto* r) { r->mutable_sampling()->add_stop(""); },
                   {"sampling.stop[0]", "256"}}),
    [](const auto& info) { return info.param.name; });

TEST(ChatTask, FillsDefaultsAndSplitsMessages) {
  v1::ChatRequest request;
  AddMessage(&request, "system", "Be brief.");
  AddMessage(&request, "user", "Hi");
  AddMessage(&request, "assistant", "Hello");
  AddMessage(&request, "user", "What now?");
  ASSERT_OK_AND_ASSIGN(const ChatTask task, MakeChatTask({}, "t", request, "made"));
  EXPECT_EQ(task.system_prompt, "Be brief.");
  EXPECT_EQ(task.history.size(), 2u);
  EXPECT_EQ(task.turn.content(), "What now?");
  EXPECT_EQ(task.memory.mode, common::v1::MODE_INJECTED);
  EXPECT_EQ(task.memory.place, common::v1::PROMPT_PLACE_LATE);
  EXPECT_EQ(task.memory.k, 8);
  EXPECT_TRUE(task.memory.gate.enabled);
  EXPECT_EQ(task.sampling.max_tokens(), 256);
  EXPECT_FALSE(task.is_repeatable);
  EXPECT_EQ(task.request_id, "made");
}

TEST(DecisionIds, DependOnTenantAndRequest) {
  EXPECT_OK(CheckId("decision_id", DecisionId("t", "r"), "dec_"));
  EXPECT_EQ(DecisionId("t", "r"), DecisionId("t", "r"));
  EXPECT_NE(DecisionId("t", "r"), DecisionId("u", "r"));
  EXPECT_NE(DecisionId("ab", "c"), DecisionId("a", "bc"));
}

TEST(Config, DefaultsAreValidAndHashed) {
  config::v1::OrchestratorServer config = DefaultConfig();
  ASSERT_OK_AND_ASSIGN(const PipelineConfig parsed, ParsePipelineConfig(config));
  EXPECT_EQ(parsed.k, 8);
  EXPECT_EQ(parsed.max_pack_tokens, 1024);
  config.mutable_kv()->set_address("elsewhere:1");
  ASSERT_OK_AND_ASSIGN(const PipelineConfig moved, ParsePipelineConfig(config));
  EXPECT_EQ(moved.hash, parsed.hash);
  config.mutable_alpha()->set_beta(3);
  ASSERT_OK_AND_ASSIGN(const PipelineConfig steeper, ParsePipelineConfig(config));
  EXPECT_NE(steeper.hash, parsed.hash);
}

TEST(Config, NamesTheField) {
  const auto parse = [](const std::function<void(config::v1::OrchestratorServer*)>& spoil) {
    config::v1::OrchestratorServer config = DefaultConfig();
    spoil(&config);
    return ParsePipelineConfig(config).status();
  };
  const auto invalid = [](const char* words) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words));
  };
  EXPECT_THAT(parse([](auto* c) { c->mutable_retrieve()->set_k(0); }), invalid("retrieve.k"));
  EXPECT_THAT(parse([](auto* c) { c->mutable_gate()->set_threshold(2); }),
              invalid("gate.threshold"));
  EXPECT_THAT(parse([](auto* c) { c->mutable_alpha()->set_floor(-1); }), invalid("alpha"));
  EXPECT_THAT(parse([](auto* c) { c->mutable_audit()->set_policy("maybe"); }),
              invalid("audit.policy"));
  EXPECT_THAT(parse([](auto* c) { c->mutable_audit()->set_policy("spool"); }),
              invalid("audit.spool_path"));
}

memory::v1::Memory Stored(int n, int64_t version = 1) {
  memory::v1::Memory memory;
  memory.set_id(Id("mem_", n));
  memory.set_version(version);
  memory.set_text(absl::StrFormat("Fact %d.", n));
  memory.set_source_class(common::v1::SOURCE_CLASS_USER);
  memory.set_create_position(n);
  return memory;
}

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
  EXPECT_EQ(ApplyGate({.enabled = false}, nullptr, InPackOrder({}, candidates)).decision,
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

// A struct with some members set.
template <typename T>
T With(const std::function<void(T&)>& set) {
  T value;
  set(value);
  return value;
}

std::vector<Candidate> Passed(const std::vector<std::pair<int, float>>& created_and_cosine) {
  std::vector<Candidate> candidates;
  for (const auto& [position, cosine] : created_and_cosine) {
    Candidate& candidate = candidates.emplace_back();
    candidate.id = Id("mem_", position);
    candidate.version = 1;
    candidate.cosine = cosine;
    candidate.text = "x";
    candidate.create_position = position;
    candidate.passed = true;
  }
  return candidates;
}

// Weighed by cosine.
std::vector<Chosen> Choose(const MemoryRules& rules, std::span<Candidate> candidates) {
  return ChooseMemories({}, nullptr, "", rules, InPackOrder(rules, candidates));
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
  const Gated gated = ApplyGate({}, &calibration, InPackOrder({}, candidates));
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
  EXPECT_EQ(ApplyGate({}, &calibration, InPackOrder({}, candidates)).decision, "no_answer");
  EXPECT_FALSE(candidates[0].passed || candidates[1].passed);
  EXPECT_EQ(candidates[1].reason, "no_answer");
  // Open, it only weighs.
  EXPECT_EQ(ApplyGate({.enabled = false}, &calibration, InPackOrder({}, candidates)).decision,
            "disabled");
  EXPECT_TRUE(candidates[0].passed && candidates[1].passed);
}

TEST(Gate, PassesFromTheThresholdOn) {
  auto candidates = Passed({{1, 0.5f}, {2, 0.30f}, {3, 0.29f}});
  const Gated gated =
      ApplyGate({.enabled = true, .threshold = 0.30f}, nullptr, InPackOrder({}, candidates));
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

TEST(Assemble, ModesDifferOnlyInWhereTheMemoriesGo) {
  v1::ChatRequest request = Question("Q?");
  auto candidates = Passed({{5, 0.9f}, {2, 0.7f}});
  std::vector<generation::v1::GenerateRequest> requests;
  for (const auto mode : {common::v1::MODE_INJECTED, common::v1::MODE_PROMPT}) {
    request.mutable_memory()->set_mode(mode);
    ASSERT_OK_AND_ASSIGN(const ChatTask task, MakeChatTask({}, "t", request, "r"));
    const auto chosen = Choose(task.memory, candidates);
    requests.push_back(AssembleRequest({}, task, "Model's own.", chosen));
  }
  const auto& injected = requests[0].prompt().injection().memories();
  const auto& prompted = requests[1].prompt().prompt_memories().memories();
  ASSERT_EQ(injected.size(), 2);
  ASSERT_EQ(prompted.size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(injected[i].memory_id(), prompted[i].memory_id());
    EXPECT_EQ(injected[i].text(), prompted[i].text());
    EXPECT_EQ(injected[i].rank(), prompted[i].rank());
  }
  for (auto& r : requests) r.mutable_prompt()->clear_memory();
  EXPECT_EQ(requests[0].SerializeAsString(), requests[1].SerializeAsString());
}

TEST(Assemble, CanonicalContextIsTheConfiguredPromptWhateverTheRequestSays) {
  v1::ChatRequest request;
  AddMessage(&request, "system", "Own.");
  AddMessage(&request, "user", "Q?");
  auto candidates = Passed({{5, 0.9f}});
  const auto context = [&](const PipelineConfig& config, common::v1::PackContext which) {
    request.mutable_memory()->set_pack_context(which);
    const auto task = MakeChatTask(config, "t", request, "r");
    const auto prompt =
        AssembleRequest(config, *task, "Model's.", Choose(task->memory, candidates)).prompt();
    EXPECT_EQ(prompt.system_prompt(), "Own.");
    return PackToPrefetch(prompt).context_system_prompt();
  };
  EXPECT_EQ(context({}, common::v1::PACK_CONTEXT_CANONICAL), "Model's.");
  EXPECT_EQ(context(With<PipelineConfig>([](auto& c) { c.system_prompt = "Ours."; }),
                    common::v1::PACK_CONTEXT_CANONICAL),
            "Ours.");
  EXPECT_EQ(context({}, common::v1::PACK_CONTEXT_REQUEST), "Own.");
}

TEST(Records, HoldNoTextInTheChain) {
  ASSERT_OK_AND_ASSIGN(const ChatTask task, MakeChatTask({}, "t", Question("Secret?"), "r"));
  auto candidates = Passed({{5, 0.9f}});
  candidates[0].text = "Private fact.";
  Decided decided;
  decided.retrieved = candidates;
  decided.chosen = Choose(task.memory, candidates);
  decided.gate = "inject";
  const std::string salt(16, 's');
  const auto request = MakeDecision({}, task, "key_1", decided, salt, absl::FromUnixSeconds(7));
  const std::string chained = request.decision().SerializeAsString();
  EXPECT_EQ(chained.find("Secret"), std::string::npos);
  EXPECT_EQ(chained.find("Private"), std::string::npos);
  EXPECT_EQ(request.decision().query_hash(), Sha256Hex(salt + "Secret?"));
  ASSERT_EQ(request.texts_size(), 1);
  EXPECT_EQ(request.texts(0).text(), "Secret?");
  EXPECT_EQ(request.texts(0).salt(), salt);
  EXPECT_EQ(request.decision().chosen(0).memory_id(), Id("mem_", 5));
}

TEST(Records, ARepeatedRequestMustBeTheSame) {
  v1::ChatRequest request = Question("Q?");
  request.set_request_id("mine");
  ASSERT_OK_AND_ASSIGN(const ChatTask task, MakeChatTask({}, "t", request, "r"));
  audit::v1::Decision recorded;
  *recorded.mutable_decision() =
      MakeDecision({}, task, "key_1", {}, std::string(16, 's'), absl::Now()).decision();
  recorded.set_query_text("Q?");
  EXPECT_OK(CheckSameRequest(task, recorded));
  recorded.set_query_text("Another?");
  EXPECT_THAT(CheckSameRequest(task, recorded),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(task.decision_id)));
}

TEST(Records, RestoredChoiceIsTheRecordedOneOrAborted) {
  ASSERT_OK_AND_ASSIGN(const ChatTask task, MakeChatTask({}, "t", Question("Q?"), "r"));
  auto candidates = Passed({{5, 0.9f}, {2, 0.7f}});
  Decided decided;
  decided.chosen = Choose(task.memory, candidates);
  const auto record =
      MakeDecision({}, task, "key_1", decided, std::string(16, 's'), absl::Now()).decision();
  Memories current;
  *current.Add() = Stored(2);
  *current.Add() = Stored(5);
  ASSERT_OK_AND_ASSIGN(const auto restored, RestoreChosen(record, current));
  ASSERT_EQ(restored.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(restored[i].id, decided.chosen[i].id);
    EXPECT_EQ(restored[i].rank, decided.chosen[i].rank);
    EXPECT_EQ(restored[i].alpha.read, decided.chosen[i].alpha.read);
  }
  current.Mutable(0)->set_version(2);
  EXPECT_THAT(RestoreChosen(record, current), StatusIs(absl::StatusCode::kAborted));
}

TEST(Records, OutcomesTellHowItEnded) {
  const auto outcome = [](const absl::Status& status) {
    Answered answered;
    answered.status = status;
    answered.text = "partial";
    return MakeOutcome("dec", answered, std::string(16, 's'), absl::Now()).outcome();
  };
  EXPECT_EQ(outcome(absl::OkStatus()).status(), "ok");
  EXPECT_EQ(outcome(Cancelled("x")).status(), "cancelled");
  EXPECT_EQ(outcome(Unavailable("gone")).status(), "error");
  EXPECT_THAT(outcome(Unavailable("gone")).error(), HasSubstr("gone"));
  EXPECT_EQ(outcome(Unavailable("gone")).answer_hash(),
            Sha256Hex(std::string(16, 's') + "partial"));
}

}  // namespace
}  // namespace dki::orchestrator
