// SPDX-License-Identifier: Apache-2.0
// What is behind the service away, slow or failing, and clients that leave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "absl/strings/match.h"
#include "absl/types/span.h"
#include "libs/base/file.h"
#include "libs/testing/temp_dir.h"
#include "services/orchestrator/orchestrator_fixture.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST_F(OrchestratorTest, RetrievalAwayMeansAnAnswerWithoutMemory) {
  StartOrchestrator();
  retrieval_.away = true;
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "degraded");
  EXPECT_THAT(answer.decision.degraded(), ElementsAre("retrieval"));
  EXPECT_THAT(answer.decision.chosen(), IsEmpty());
}

TEST_F(OrchestratorTest, SlowRetrievalIsNotWaitedForBeyondItsLimit) {
  config_.mutable_retrieval()->mutable_timeout()->set_seconds(0);
  config_.mutable_retrieval()->mutable_timeout()->set_nanos(50'000'000);
  StartOrchestrator();
  retrieval_.hangs = true;
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_THAT(answer.decision.degraded(), ElementsAre("retrieval"));
}

TEST_F(OrchestratorTest, NamedMemoriesSurviveRetrievalBeingAway) {
  StartOrchestrator();
  retrieval_.away = true;
  v1::ChatRequest request = Question();
  request.mutable_memory()->add_memory_ids(ids_[1]);
  const Answer answer = Chat(request);
  ASSERT_OK(answer.status);
  EXPECT_THAT(answer.decision.degraded(), ElementsAre("retrieval"));
  EXPECT_THAT(Ids(answer.decision.chosen()), ElementsAre(ids_[1]));
}

TEST_F(OrchestratorTest, KvTroubleIsReportedByGeneration) {
  generation_.degraded = {"kv"};
  StartOrchestrator();
  kv_server_.Stop();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_THAT(answer.finished.outcome().degraded(), ElementsAre("kv"));
}

TEST_F(OrchestratorTest, GenerationAwayIsACleanErrorAndAnOutcome) {
  StartOrchestrator();
  generation_server_.Stop();
  const Answer answer = Chat(Question());
  EXPECT_THAT(answer.status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("generation")));
  EXPECT_THAT(audit_.Log(), ElementsAre(StartsWith("decision"), ::testing::EndsWith(" error")));
}

TEST_F(OrchestratorTest, GenerationsOwnErrorsArePassedOn) {
  generation_.before = [] { return grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "window 2048"); };
  StartOrchestrator();
  EXPECT_THAT(Chat(Question()).status, StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("2048")));
}

TEST_F(OrchestratorTest, RequiredAuditFailsTheRequest) {
  StartOrchestrator();
  audit_.away = true;
  const Answer answer = Chat(Question());
  EXPECT_THAT(answer.status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("audit")));
  EXPECT_THAT(answer.deltas, IsEmpty());
  EXPECT_EQ(answer.decision.decision_id(), "");
  memories_.away = true;
  EXPECT_THAT(Chat(Question()).status,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("memory_store")));
}

// The prompt is read meanwhile, but not a word of the answer passes.
TEST_F(OrchestratorTest, TheFirstTokenWaitsForTheDecision) {
  std::promise<void> writing;
  generation_.middle = [&](grpc::ServerContext* context) {
    writing.set_value();
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status(grpc::StatusCode::CANCELLED, "cancelled");
  };
  audit_.before_decision = [&, begun = writing.get_future().share()] {
    begun.wait();
    audit_.away = true;
  };
  StartOrchestrator();
  const Answer answer = Chat(Question());
  EXPECT_THAT(answer.status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("audit")));
  EXPECT_THAT(answer.deltas, IsEmpty());
  EXPECT_EQ(answer.decision.decision_id(), "");
  EXPECT_THAT(audit_.Log(), IsEmpty());
}

TEST_F(OrchestratorTest, AnOutcomeWaitsForTheStore) {
  StartOrchestrator();
  generation_.middle = [this](grpc::ServerContext*) {
    audit_.WaitForLog(1);
    audit_.away = true;
    return grpc::Status::OK;
  };
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_TRUE(answer.has_finished);
  EXPECT_EQ(audit_.Log().size(), 1u);
  audit_.away = false;
  EXPECT_THAT(audit_.WaitForLog(2), ElementsAre(StartsWith("decision"), StartsWith("outcome")));
}

TEST_F(OrchestratorTest, BestEffortGoesOnAndCounts) {
  config_.mutable_audit()->set_policy("best_effort");
  StartOrchestrator();
  audit_.away = true;
  memories_.away = true;
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_THAT(answer.decision.degraded(), ElementsAre("memory_store"));
  const auto& lost = *runtime_->metrics().GetCounter("dki_orchestrator_audit_lost_total", "");
  const auto until = std::chrono::steady_clock::now() + kTestPatience;
  while (lost.value() < 2 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_EQ(lost.value(), 2);
  audit_.away = false;
  memories_.away = false;
  ASSERT_OK(Chat(Question()).status);
  EXPECT_EQ(audit_.WaitForLog(2).size(), 2u);
}

TEST_F(OrchestratorTest, TheSpoolIsShippedInOrderWhenTheStoreIsBack) {
  const testing::TempDir folder;
  config_.mutable_audit()->set_policy("spool");
  config_.mutable_audit()->set_spool_path(folder.File("spool"));
  StartOrchestrator();
  // Keys that are known go on while the store is away.
  ASSERT_OK(Chat(Question()).status);
  ASSERT_EQ(audit_.WaitForLog(2).size(), 2u);
  store_server_.Stop();
  std::vector<std::string> decisions, outcomes;
  for (int i = 0; i < 3; ++i) {
    const Answer answer = Chat(Question());
    ASSERT_OK(answer.status);
    EXPECT_THAT(answer.decision.degraded(), ElementsAre("memory_store"));
    decisions.push_back("decision " + answer.decision.decision_id());
    outcomes.push_back("outcome " + answer.decision.decision_id() + " ok");
  }
  EXPECT_EQ(audit_.Log().size(), 2u);
  store_server_.Start();
  // An outcome is written after its answer, so the next decision may come before it.
  const std::vector<std::string> log = audit_.WaitForLog(8);
  ASSERT_EQ(log.size(), 8u);
  std::vector<std::string> seen_decisions, seen_outcomes;
  for (const std::string& record : absl::MakeConstSpan(log).subspan(2)) {
    (absl::StartsWith(record, "decision") ? seen_decisions : seen_outcomes).push_back(record);
    EXPECT_LE(seen_outcomes.size(), seen_decisions.size());
  }
  EXPECT_EQ(seen_decisions, decisions);
  EXPECT_EQ(seen_outcomes, outcomes);
}

TEST_F(OrchestratorTest, AnOutcomeFollowsItsSpooledDecision) {
  const testing::TempDir folder;
  config_.mutable_audit()->set_policy("spool");
  config_.mutable_audit()->set_spool_path(folder.File("spool"));
  StartOrchestrator();
  audit_.away = true;
  generation_.middle = [this](grpc::ServerContext*) {
    while (audit_.n_refused == 0) std::this_thread::yield();
    audit_.away = false;  // the outcome could go straight to the store, which knows no decision yet
    return grpc::Status::OK;
  };
  ASSERT_OK(Chat(Question()).status);
  EXPECT_THAT(audit_.WaitForLog(2), ElementsAre(StartsWith("decision"), StartsWith("outcome")));
}

TEST_F(OrchestratorTest, TheSpoolSurvivesARestart) {
  const testing::TempDir folder;
  config_.mutable_audit()->set_policy("spool");
  config_.mutable_audit()->set_spool_path(folder.File("spool"));
  StartOrchestrator();
  audit_.away = true;
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  StopOrchestrator();
  ASSERT_OK_AND_ASSIGN(const std::string spooled, ReadFile(folder.File("spool")));
  EXPECT_EQ(std::count(spooled.begin(), spooled.end(), '\n'), 2);
  EXPECT_THAT(audit_.Log(), IsEmpty());
  audit_.away = false;
  StartOrchestrator();
  const std::string& id = answer.decision.decision_id();
  EXPECT_THAT(audit_.WaitForLog(2), ElementsAre("decision " + id, "outcome " + id + " ok"));
}

TEST_F(OrchestratorTest, CancellationReachesGenerationAndTheLog) {
  std::promise<void> in_the_middle;
  generation_.middle = [&](grpc::ServerContext* context) {
    in_the_middle.set_value();
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status(grpc::StatusCode::CANCELLED, "cancelled");
  };
  StartOrchestrator();
  const auto context = rpc::BearerContext(kAllScopes, "", std::chrono::seconds(30));
  const auto reader = stub_->Chat(context.get(), Question());
  in_the_middle.get_future().wait();
  context->TryCancel();
  EXPECT_THAT(Read(reader.get()).status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(audit_.WaitForLog(2),
              ElementsAre(StartsWith("decision"), ::testing::EndsWith(" cancelled")));
}

}  // namespace
}  // namespace dki::orchestrator
