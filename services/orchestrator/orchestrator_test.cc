// SPDX-License-Identifier: Apache-2.0
// Decisions, records, repetition, keys.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/orchestrator/orchestrator_fixture.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST_F(OrchestratorTest, DecidesThenAnswersThenExplains) {
  StartOrchestrator();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_THAT(answer.deltas, ElementsAre("An ", "answer."));
  EXPECT_EQ(answer.finished.text(), "An answer.");
  EXPECT_EQ(answer.finished.outcome().status(), "ok");
  EXPECT_THAT(answer.finished.token_ids(), ElementsAre(5, 6));

  const auto& decision = answer.decision;
  EXPECT_EQ(decision.gate(), "inject");
  EXPECT_EQ(decision.key_id(), "key_acme");
  EXPECT_EQ(decision.search_position(), 77);
  EXPECT_EQ(decision.model_fingerprint(), "model-1");
  ASSERT_EQ(decision.retrieved_size(), 3);
  EXPECT_EQ(decision.retrieved(2).reason(), "below_threshold");
  // In the order of creation, weighed by relevance.
  EXPECT_THAT(Ids(decision.chosen()), ElementsAre(ids_[0], ids_[2]));
  EXPECT_DOUBLE_EQ(decision.chosen(1).alpha_read(), 1.0);
  EXPECT_DOUBLE_EQ(decision.chosen(1).alpha_answer(), 2.0);
  EXPECT_LT(decision.chosen(0).alpha_read(), 1.0);

  EXPECT_THAT(audit_.WaitForLog(2), ElementsAre("decision " + decision.decision_id(),
                                                "outcome " + decision.decision_id() + " ok"));
  const auto prompt = generation_.requests()[0].prompt();
  EXPECT_EQ(prompt.injection().context_system_prompt(), "Model's default.");
  EXPECT_EQ(prompt.turn().content(), "Where does Ann live?");
  EXPECT_EQ(prompt.max_pack_tokens(), 1024);
}

TEST_F(OrchestratorTest, PrefetchesAllCandidatesThenWhatWasChosenAndCancelsTheRest) {
  StartOrchestrator();
  // Candidates of a request whose gate lets all of them pass are what it chooses.
  v1::ChatRequest open = Question();
  open.mutable_memory()->set_gate(false);
  ASSERT_OK(Chat(open).status);
  auto prefetched = kv_.WaitForRequests(1);
  ASSERT_EQ(prefetched.size(), 1u);
  EXPECT_EQ(prefetched[0].pack().memories_size(), 3);
  EXPECT_EQ(prefetched[0].pack().memories(0).memory_id(), ids_[0]) << "in the order of the pack";
  EXPECT_EQ(prefetched[0].model_fingerprint(), "model-1-avx");

  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  prefetched = kv_.WaitForRequests(3);
  ASSERT_EQ(prefetched.size(), 3u);
  // The calls are made in order, but may arrive in any.
  if (prefetched[1].pack().memories_size() == 2) std::swap(prefetched[1], prefetched[2]);
  EXPECT_EQ(prefetched[1].pack().memories_size(), 3);
  EXPECT_EQ(prefetched[2].pack().memories_size(), 2) << "one is below the threshold";
  EXPECT_EQ(prefetched[2].prefetch_id(), answer.decision.decision_id());
  EXPECT_THAT(kv_.WaitForCancelled(1), ElementsAre(prefetched[1].prefetch_id()));

  // Nothing passes: what was begun is cancelled, and no other pack is needed.
  v1::ChatRequest strict = Question();
  strict.mutable_memory()->set_threshold(0.99f);
  ASSERT_OK(Chat(strict).status);
  EXPECT_EQ(kv_.WaitForCancelled(2).size(), 2u);
  EXPECT_EQ(kv_.WaitForRequests(4).size(), 4u);
}

TEST_F(OrchestratorTest, AttributesOfMemoriesGoAlongToGenerationAndKv) {
  memory::v1::Memory memory;
  memory.mutable_scope()->set_user_id("ann");
  memory.set_text("Ann is at sea.");
  memory.set_source_class(common::v1::SOURCE_CLASS_DOCUMENT);
  memory.set_pinned(true);
  memory.set_priority(9);
  memory.mutable_expire_time()->set_seconds(4'000'000'000);
  const std::string id = memories_.Add("acme", memory);
  retrieval_.SetHits({{id, 0.9f}});
  StartOrchestrator();
  ASSERT_OK(Chat(Question()).status);
  const auto prefetched = kv_.WaitForRequests(1);
  ASSERT_EQ(prefetched.size(), 1u);
  for (const common::v1::MemoryAttributes& attributes :
       {generation_.requests()[0].prompt().injection().memories(0).attributes(),
        prefetched[0].pack().memories(0).attributes()}) {
    EXPECT_EQ(attributes.user_id(), "ann");
    EXPECT_EQ(attributes.source_class(), common::v1::SOURCE_CLASS_DOCUMENT);
    EXPECT_TRUE(attributes.pinned());
    EXPECT_EQ(attributes.priority(), 9);
    EXPECT_EQ(attributes.expire_time().seconds(), 4'000'000'000);
  }
}

TEST_F(OrchestratorTest, ModesShareRetrievalAndOrder) {
  StartOrchestrator();
  std::vector<Answer> answers;
  for (const auto mode : {common::v1::MODE_INJECTED, common::v1::MODE_PROMPT}) {
    v1::ChatRequest request = Question();
    request.mutable_memory()->set_mode(mode);
    answers.push_back(Chat(request));
    ASSERT_OK(answers.back().status);
  }
  ASSERT_EQ(answers[0].decision.retrieved_size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answers[0].decision.retrieved(i).SerializeAsString(),
              answers[1].decision.retrieved(i).SerializeAsString());
  }
  EXPECT_EQ(Ids(answers[0].decision.chosen()), Ids(answers[1].decision.chosen()));
  const auto requests = generation_.requests();
  EXPECT_TRUE(requests[0].prompt().has_injection());
  EXPECT_TRUE(requests[1].prompt().has_prompt_memories());

  v1::ChatRequest vanilla = Question();
  vanilla.mutable_memory()->set_mode(common::v1::MODE_VANILLA);
  const Answer answer = Chat(vanilla);
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "vanilla");
  EXPECT_EQ(retrieval_.requests().size(), 2u);
}

TEST_F(OrchestratorTest, AlphaZeroInjectsNothing) {
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.mutable_memory()->set_alpha(0.0);
  request.mutable_memory()->set_gate(false);
  const Answer answer = Chat(request);
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "forced");
  EXPECT_EQ(answer.decision.retrieved_size(), 3);
  EXPECT_THAT(answer.decision.chosen(), IsEmpty());
  EXPECT_EQ(generation_.requests()[0].prompt().memory_case(),
            generation::v1::Prompt::MEMORY_NOT_SET);
}

TEST_F(OrchestratorTest, NamedMemoriesComeInTheirOrderWhateverTheirCosine) {
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.mutable_memory()->add_memory_ids(ids_[1]);
  request.mutable_memory()->add_memory_ids(ids_[0]);
  const Answer answer = Chat(request);
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "disabled");
  EXPECT_THAT(Ids(answer.decision.chosen()), ElementsAre(ids_[1], ids_[0]));
  EXPECT_FLOAT_EQ(answer.decision.chosen(0).cosine(), 0.1f);
  EXPECT_FALSE(retrieval_.requests()[0].has_threshold());

  // Another user's memory does not exist for this one.
  request.mutable_scope()->set_user_id("bob");
  EXPECT_THAT(Chat(request).status, StatusIs(absl::StatusCode::kNotFound, HasSubstr(ids_[1])));
  EXPECT_EQ(audit_.WaitForLog(2).size(), 2u);
}

TEST_F(OrchestratorTest, ChangedMemoriesAreLeftOut) {
  StartOrchestrator();
  memories_.Touch("acme", ids_[2]);
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.retrieved(0).reason(), "not_current");
  EXPECT_THAT(Ids(answer.decision.chosen()), ElementsAre(ids_[0]));
}

TEST_F(OrchestratorTest, BadInputIsRefusedBeforeAnythingIsWritten) {
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.mutable_memory()->set_alpha(-1);
  EXPECT_THAT(Chat(request).status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("memory.alpha")));
  EXPECT_THAT(audit_.Log(), IsEmpty());
  EXPECT_THAT(Add("ann", std::string(64 << 10, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("8192")));
}

TEST_F(OrchestratorTest, ARepeatedRequestGetsTheRecordedAnswer) {
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.set_request_id("mine");
  const Answer first = Chat(request);
  ASSERT_OK(first.status);
  const Answer second = Chat(request);
  ASSERT_OK(second.status);
  EXPECT_EQ(second.decision.SerializeAsString(), first.decision.SerializeAsString());
  EXPECT_EQ(second.finished.text(), "An answer.");
  EXPECT_EQ(audit_.Log().size(), 2u);
  EXPECT_EQ(generation_.requests().size(), 1u);

  request.mutable_messages(0)->set_content("Something else?");
  EXPECT_THAT(Chat(request).status,
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(first.decision.decision_id())));
  // Another tenant's request of the same id is its own.
  EXPECT_OK(Chat(request, "other/chat").status);
  audit_.EraseAnswer(first.decision.decision_id());
  EXPECT_THAT(Chat([&] {
                v1::ChatRequest again = Question();
                again.set_request_id("mine");
                return again;
              }())
                  .status,
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("erased")));
}

TEST_F(OrchestratorTest, AnAnswerIsNotGivenAgainAfterItsMemoryWasDeleted) {
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.set_request_id("mine");
  const Answer first = Chat(request);
  ASSERT_OK(first.status);
  ASSERT_GT(first.decision.chosen_size(), 0);
  memories_.Delete("acme", first.decision.chosen(0).memory_id());
  EXPECT_THAT(Chat(request).status,
              StatusIs(absl::StatusCode::kAborted, HasSubstr("has been deleted")));
}

TEST_F(OrchestratorTest, AMemoryDeletedWhileTheRequestIsDecidedIsNotUsed) {
  int n_asked = 0;
  audit_.is_current = [&](const audit::v1::AppendDecisionRequest& request) {
    EXPECT_TRUE(request.only_current());
    // Between the candidates' step and the commit.
    if (++n_asked > 1) return true;
    memories_.Delete("acme", request.decision().chosen(0).memory_id());
    return false;
  };
  StartOrchestrator();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  // The answer that was begun with it has been cancelled, and nothing of it was passed on.
  EXPECT_EQ(n_asked, 2);
  EXPECT_THAT(answer.deltas, ElementsAre("An ", "answer."));
  EXPECT_THAT(Ids(answer.decision.chosen()), ElementsAre(ids_[2]));
  // One that never comes to rest is given up.
  audit_.is_current = [](const audit::v1::AppendDecisionRequest&) { return false; };
  EXPECT_THAT(Chat(Question()).status, StatusIs(absl::StatusCode::kAborted));
}

TEST_F(OrchestratorTest, AFailedRequestIsWrittenAgainFromItsDecision) {
  std::atomic<bool> dies{true};
  generation_.middle = [&](grpc::ServerContext*) {
    return dies ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "died") : grpc::Status::OK;
  };
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.set_request_id("mine");
  const Answer first = Chat(request);
  EXPECT_THAT(first.status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(first.has_finished);
  dies = false;
  retrieval_.SetHits({});  // the record decides, not a new search
  const Answer second = Chat(request);
  ASSERT_OK(second.status);
  EXPECT_EQ(second.finished.text(), "An answer.");
  EXPECT_EQ(second.decision.SerializeAsString(), first.decision.SerializeAsString());
  const auto requests = generation_.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].SerializeAsString(), requests[1].SerializeAsString());
  EXPECT_THAT(audit_.Log(), ElementsAre(StartsWith("decision"), ::testing::EndsWith(" error")));

  request.set_request_id("other");
  dies = true;
  retrieval_.SetHits({{ids_[2], 0.6f}});
  EXPECT_THAT(Chat(request).status, StatusIs(absl::StatusCode::kUnavailable));
  memories_.Touch("acme", ids_[2]);
  EXPECT_THAT(Chat(request).status, StatusIs(absl::StatusCode::kAborted, HasSubstr(ids_[2])));
}

TEST_F(OrchestratorTest, ConversationsGrowByTurnAndAnswerOnce) {
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.set_conversation_id("conv_" + std::string(32, '1'));
  request.set_request_id("mine");
  ASSERT_OK(Chat(request).status);
  ASSERT_OK(Chat(request).status);
  EXPECT_EQ(memories_.Conversation(request.conversation_id()).size(), 2u);
  request.set_request_id("next");
  ASSERT_OK(Chat(request).status);
  const auto messages = memories_.Conversation(request.conversation_id());
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[1].role(), "assistant");
  EXPECT_EQ(messages[1].content(), "An answer.");
  EXPECT_EQ(generation_.requests().back().prompt().history_size(), 2);
  // What was said before helps to find what the turn leans on.
  EXPECT_EQ(retrieval_.requests().back().recent_size(), 2);
}

TEST_F(OrchestratorTest, ReadsItsOwnWrites) {
  StartOrchestrator();
  ASSERT_OK_AND_ASSIGN(const auto added, Add("ann", "Ann plays the oboe."));
  EXPECT_EQ(memories_.last_create().memory().vector().embedding_fingerprint(), "embedder");
  EXPECT_EQ(memories_.last_create().memory().source_class(), common::v1::SOURCE_CLASS_USER);
  ASSERT_OK(Chat(Question()).status);
  EXPECT_EQ(retrieval_.requests().back().min_position(), added.position());
  v1::ChatRequest request = Question();
  request.mutable_memory()->set_min_position(1000);
  ASSERT_OK(Chat(request).status);
  EXPECT_EQ(retrieval_.requests().back().min_position(), 1000);
  // Positions of one tenant say nothing about another's.
  ASSERT_OK(Chat(Question(), "other/chat").status);
  EXPECT_EQ(retrieval_.requests().back().min_position(), 0);
}

TEST_F(OrchestratorTest, WritesFailWhileEmbeddingIsAway) {
  StartOrchestrator();
  retrieval_.away = true;
  EXPECT_THAT(Add("ann", "x"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("embedding")));
  EXPECT_EQ(memories_.last_create().request_id(), "");
}

TEST_F(OrchestratorTest, MemoriesOfTheWholeTenantNeedAdmin) {
  StartOrchestrator();
  EXPECT_THAT(Add("", "x"), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("admin")));
  ASSERT_OK(Add("", "x", kAdmin));
  EXPECT_EQ(memories_.last_create().memory().source_class(), common::v1::SOURCE_CLASS_OPERATOR);
}

TEST_F(OrchestratorTest, KeysOpenTheirOwnTenantAndScopesOnly) {
  StartOrchestrator();
  EXPECT_THAT(Chat(Question(), "nonsense").status, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(Chat(Question(), "acme/memory:read").status,
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chat")));
  ASSERT_OK(Chat(Question()).status);
  const int asked = tenants_.asked;
  const Answer other = Chat(Question(), "other/chat");
  ASSERT_OK(other.status);
  EXPECT_EQ(tenants_.asked, asked + 1);
  // acme's memories are not there for it, although retrieval (scripted) names them.
  EXPECT_THAT(other.decision.chosen(), IsEmpty());
  EXPECT_EQ(other.decision.retrieved(0).reason(), "not_current");
}

}  // namespace
}  // namespace dki::orchestrator
