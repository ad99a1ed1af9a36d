// SPDX-License-Identifier: Apache-2.0
// What generation is asked, and what the audit keeps.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "libs/base/sha256.h"
#include "libs/testing/status_matchers.h"
#include "services/orchestrator/assemble_step.h"
#include "services/orchestrator/chat_task.h"
#include "services/orchestrator/records.h"
#include "services/orchestrator/steps_fixture.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;
using ::testing::HasSubstr;

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

TEST(Assemble, WeightsThatAreGivenAndOtherLawsMeanTheMemoriesAsTheyAre) {
  const auto asked = [](const std::string& options) {
    v1::ChatRequest request = Question("Q?");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(options, request.mutable_memory()));
    const auto task = MakeChatTask({}, "t", request, "r");
    EXPECT_OK(task);
    auto candidates = Passed({{5, 0.9f}});
    const auto prompt =
        AssembleRequest({}, *task, "Model's.", Choose(task->memory, candidates)).prompt();
    return prompt.injection().modulation();
  };
  EXPECT_EQ(asked(""), "");
  EXPECT_EQ(asked("gate: false"), "");
  EXPECT_EQ(asked("alpha: 1"), "off");
  EXPECT_EQ(asked("layers: '1-2'"), "off");
  EXPECT_EQ(asked("alpha: 1 modulation: 'on'"), "on");
  EXPECT_EQ(asked("modulation: 'off'"), "off");
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
  recorded.set_query_text("Q?");
  request.mutable_memory()->set_modulation("off");
  ASSERT_OK_AND_ASSIGN(const ChatTask other, MakeChatTask({}, "t", request, "r"));
  EXPECT_THAT(CheckSameRequest(other, recorded), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(MakeDecision({}, other, "key_1", {}, std::string(16, 's'), absl::Now())
                .decision()
                .modulation(),
            "off");
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

TEST(Records, OutcomesTellWhetherTheQuestionChangedTheMemories) {
  for (const bool modulated : {false, true}) {
    Answered answered;
    answered.modulated = modulated;
    const auto outcome = MakeOutcome("dec", answered, std::string(16, 's'), absl::Now()).outcome();
    EXPECT_EQ(outcome.modulated(), modulated);
  }
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
