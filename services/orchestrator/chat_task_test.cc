// SPDX-License-Identifier: Apache-2.0
// Requests as tasks, and the pipeline's configuration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "libs/testing/status_matchers.h"
#include "services/orchestrator/chat_task.h"
#include "services/orchestrator/limits.h"
#include "services/orchestrator/pipeline_config.h"
#include "services/orchestrator/server.h"
#include "services/orchestrator/steps_fixture.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;
using ::testing::HasSubstr;

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
        BadRequest{"composition_not_served",
                   [](auto* r) { r->mutable_memory()->set_composition("blend(0.15)"); },
                   {"memory.composition", "blend(0.15)", "not served"}},
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
        BadRequest{"modulation",
                   [](auto* r) { r->mutable_memory()->set_modulation("maybe"); },
                   {"memory", "modulation must be default, on or off"}},
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

}  // namespace
}  // namespace dki::orchestrator
