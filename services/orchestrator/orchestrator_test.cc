// SPDX-License-Identifier: Apache-2.0
// The whole service between a real client and scripted services behind it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "dki/orchestrator/v1/dki_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/orchestrator/fakes_for_test.h"
#include "services/orchestrator/server.h"

namespace dki::orchestrator {
namespace {

using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kAllScopes[] = "acme/chat,memory:read,memory:write";
constexpr char kAdmin[] = "acme/admin";

struct Answer {
  absl::Status status;
  audit::v1::DecisionRecord decision;
  std::vector<std::string> deltas;
  v1::ChatResponse::Finished finished;
  bool has_finished = false;
};

class OrchestratorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_ = DefaultConfig();
    config_.mutable_server()->set_listen("127.0.0.1:0");
    config_.mutable_server()->set_metrics_listen("");
    config_.mutable_memory_store()->set_address(store_server_.address());
    config_.mutable_retrieval()->set_address(retrieval_server_.address());
    config_.mutable_kv()->set_address(kv_server_.address());
    config_.mutable_generation()->set_address(generation_server_.address());
    for (const auto& [text, cosine] :
         std::vector<std::pair<std::string, float>>{{"Ann's dog is Rex.", 0.4f},
                                                    {"Bob is a baker.", 0.1f},
                                                    {"Ann lives in Rome.", 0.6f}}) {
      memory::v1::Memory memory;
      memory.mutable_scope()->set_user_id("ann");
      memory.set_text(text);
      memory.set_source_class(common::v1::SOURCE_CLASS_USER);
      ids_.push_back(memories_.Add("acme", memory));
    }
    retrieval_.SetHits({{ids_[2], 0.6f}, {ids_[0], 0.4f}, {ids_[1], 0.1f}});
  }
  void TearDown() override { StopOrchestrator(); }

  void StartOrchestrator() {
    runtime_ = rpc::ServiceRuntime::ForTesting("orchestrator");
    auto built = BuildOrchestratorServer(config_, runtime_.get());
    ASSERT_OK(built);
    instance_ = std::move(*built);
    auto server = rpc::GrpcServer::Start(config_.server(), runtime_.get(), instance_.get());
    ASSERT_OK(server);
    server_ = std::move(*server);
    stub_ =
        v1::DkiService::NewStub(rpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port())));
  }
  void StopOrchestrator() {
    stub_.reset();
    server_.reset();
    instance_.reset();
    runtime_.reset();
  }

  static v1::ChatRequest Question(const std::string& text = "Where does Ann live?") {
    v1::ChatRequest request;
    request.mutable_scope()->set_user_id("ann");
    auto* message = request.add_messages();
    message->set_role("user");
    message->set_content(text);
    return request;
  }
  Answer Chat(const v1::ChatRequest& request, const std::string& key = kAllScopes) {
    const auto context = rpc::BearerContext(key, "", std::chrono::seconds(30));
    return Read(stub_->Chat(context.get(), request).get());
  }
  static Answer Read(grpc::ClientReaderInterface<v1::ChatResponse>* reader) {
    Answer answer;
    v1::ChatResponse event;
    while (reader->Read(&event)) {
      if (event.has_decided()) answer.decision = event.decided().decision();
      if (event.has_text()) answer.deltas.push_back(event.text());
      if (event.has_finished()) {
        answer.finished = event.finished();
        answer.has_finished = true;
      }
    }
    answer.status = rpc::FromGrpcStatus(reader->Finish());
    return answer;
  }
  absl::StatusOr<v1::AddMemoryResponse> Add(const std::string& user, const std::string& text,
                                            const std::string& key = kAllScopes) {
    v1::AddMemoryRequest request;
    request.mutable_memory()->mutable_scope()->set_user_id(user);
    request.mutable_memory()->set_text(text);
    v1::AddMemoryResponse response;
    const auto context = rpc::BearerContext(key, "", std::chrono::seconds(30));
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub_->AddMemory(context.get(), request, &response)));
    return response;
  }
  static std::vector<std::string> Ids(
      const google::protobuf::RepeatedPtrField<audit::v1::ChosenMemory>& chosen) {
    std::vector<std::string> ids;
    for (const auto& memory : chosen) ids.push_back(memory.memory_id());
    return ids;
  }

  FakeMemories memories_;
  FakeAudit audit_;
  FakeTenants tenants_;
  FakeRetrieval retrieval_;
  FakeKv kv_;
  FakeGeneration generation_;
  FakeServer store_server_{{&memories_, &audit_, &tenants_}};
  FakeServer retrieval_server_{{&retrieval_}};
  FakeServer kv_server_{{&kv_}};
  FakeServer generation_server_{{&generation_}};
  config::v1::OrchestratorServer config_;
  std::vector<std::string> ids_;
  std::unique_ptr<rpc::ServiceRuntime> runtime_;
  std::unique_ptr<rpc::ServiceInstance> instance_;
  std::unique_ptr<rpc::GrpcServer> server_;
  std::unique_ptr<v1::DkiService::Stub> stub_;
};

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

  EXPECT_THAT(audit_.Log(), ElementsAre("decision " + decision.decision_id(),
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
  EXPECT_EQ(audit_.Log().size(), 2u);
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
  EXPECT_EQ(runtime_->metrics().GetCounter("dki_orchestrator_audit_lost_total", "")->value(), 2);
  audit_.away = false;
  memories_.away = false;
  ASSERT_OK(Chat(Question()).status);
  EXPECT_EQ(audit_.Log().size(), 2u);
}

TEST_F(OrchestratorTest, TheSpoolIsShippedInOrderWhenTheStoreIsBack) {
  const testing::TempDir folder;
  config_.mutable_audit()->set_policy("spool");
  config_.mutable_audit()->set_spool_path(folder.File("spool"));
  StartOrchestrator();
  // Keys that are known go on while the store is away.
  ASSERT_OK(Chat(Question()).status);
  store_server_.Stop();
  std::vector<std::string> expected = audit_.Log();
  for (int i = 0; i < 3; ++i) {
    const Answer answer = Chat(Question());
    ASSERT_OK(answer.status);
    EXPECT_THAT(answer.decision.degraded(), ElementsAre("memory_store"));
    expected.push_back("decision " + answer.decision.decision_id());
    expected.push_back("outcome " + answer.decision.decision_id() + " ok");
  }
  EXPECT_EQ(audit_.Log().size(), 2u);
  store_server_.Start();
  EXPECT_EQ(audit_.WaitForLog(8), expected);
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

class CalibratedOrchestratorTest : public OrchestratorTest {
 protected:
  void SetUp() override {
    OrchestratorTest::SetUp();
    std::ofstream(folder_.File("calibration.json")) << R"json({
      "model_fingerprint": "model-1", "heads": [[1, 2]], "probe": "independent",
      "relevance": {"cosine": 0, "recency": 0, "heads": [1]},
      "answer": {"bias": 2.302585, "cosine": 0, "heads": [1], "threshold": 0.5},
      "lookup": {"keep": 0.9, "beta": 1, "floor": 0, "read": 1, "answer": 2},
      "judgement": {}})json";
    config_.mutable_gate()->set_calibration_file(folder_.File("calibration.json"));
  }
  testing::TempDir folder_;
};

TEST_F(CalibratedOrchestratorTest, TheProbeDecidesAndWeighs) {
  generation_.probe_shares = {{ids_[0], 0.4}, {ids_[1], 0.2}, {ids_[2], 0.001}};
  StartOrchestrator();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "inject");
  EXPECT_NEAR(answer.decision.answer_probability(), 0.8, 1e-3);
  // What is most similar to the question is not what the model looked at.
  ASSERT_EQ(answer.decision.chosen_size(), 2);
  EXPECT_EQ(answer.decision.chosen(0).memory_id(), ids_[0]);
  EXPECT_DOUBLE_EQ(answer.decision.chosen(0).alpha_answer(), 2.0);
  EXPECT_NEAR(answer.decision.chosen(1).alpha_answer(), 1.0, 1e-3);
  EXPECT_EQ(answer.decision.retrieved(0).reason(), "improbable");
  EXPECT_DOUBLE_EQ(answer.decision.retrieved(1).probe_share(), 0.4);
}

TEST_F(CalibratedOrchestratorTest, MemoriesAreProbedAsTheCalibrationKnowsThem) {
  generation_.probe_shares = {{ids_[0], 0.4}};
  StartOrchestrator();
  v1::ChatRequest request = Question();
  request.mutable_memory()->set_composition("repair(4)");
  ASSERT_OK(Chat(request).status);
  ASSERT_EQ(generation_.probes().size(), 1u);
  EXPECT_EQ(generation_.probes()[0].prompt().injection().composition(), "independent");
  EXPECT_EQ(generation_.requests()[0].prompt().injection().composition(), "repair(4)");
  const auto prefetched = kv_.WaitForRequests(2);
  ASSERT_EQ(prefetched.size(), 2u);
  for (const auto& asked : prefetched) {
    const bool is_probe = asked.pack().memories_size() == 3;
    EXPECT_EQ(asked.pack().composition(), is_probe ? "independent" : "repair(4)");
  }
}

TEST_F(CalibratedOrchestratorTest, WithoutAnAnswerInThemMemoriesStayOut) {
  StartOrchestrator();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "no_answer");
  EXPECT_EQ(answer.decision.chosen_size(), 0);
  EXPECT_EQ(generation_.requests()[0].prompt().memory_case(),
            generation::v1::Prompt::MEMORY_NOT_SET);
}

TEST_F(CalibratedOrchestratorTest, WithoutAProbeTheCosineDecides) {
  generation_.cannot_probe = true;
  StartOrchestrator();
  const Answer answer = Chat(Question());
  ASSERT_OK(answer.status);
  EXPECT_EQ(answer.decision.gate(), "inject");
  EXPECT_FALSE(answer.decision.has_answer_probability());
  EXPECT_THAT(answer.decision.degraded(), ElementsAre("probe"));
  EXPECT_EQ(answer.decision.chosen_size(), 2);
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
