// SPDX-License-Identifier: Apache-2.0
// Whole commands against a fake DkiService: what they send, print and return.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "dki/orchestrator/v1/dki_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "tools/dki/answer_without.h"
#include "tools/dki/options.h"

namespace dki::cli {
namespace {

namespace api = orchestrator::v1;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kDecisionId[] = "dec_00000000000000000000000000000001";

// Answers every call with `status`, or with something simple; keeps what it was asked.
class FakeDki final : public api::DkiService::Service {
 public:
  grpc::Status AddMemory(grpc::ServerContext* context, const api::AddMemoryRequest* request,
                         api::AddMemoryResponse* response) override {
    add = *request;
    response->mutable_memory()->set_id("mem_1");
    response->set_created(true);
    return Done(context);
  }
  grpc::Status AddMemories(grpc::ServerContext* context, const api::AddMemoriesRequest* request,
                           api::AddMemoriesResponse* response) override {
    batches.push_back(*request);
    for (int i = 0; i < request->memories_size(); ++i) response->add_results()->set_created(true);
    return Done(context);
  }
  grpc::Status GetMemory(grpc::ServerContext* context, const api::GetMemoryRequest* request,
                         api::GetMemoryResponse* response) override {
    get = *request;
    *response->mutable_memory() = Tea();
    return Done(context);
  }
  grpc::Status ListMemories(grpc::ServerContext* context, const api::ListMemoriesRequest* request,
                            api::ListMemoriesResponse* response) override {
    *response->add_memories() = Tea();
    if (request->page_token().empty()) response->set_next_page_token("more");
    return Done(context);
  }
  grpc::Status SearchMemories(grpc::ServerContext* context, const api::SearchMemoriesRequest*,
                              api::SearchMemoriesResponse* response) override {
    auto* hit = response->add_hits();
    *hit->mutable_memory() = Tea();
    hit->set_cosine(0.5f);
    return Done(context);
  }
  grpc::Status CreateConversation(grpc::ServerContext* context,
                                  const api::CreateConversationRequest*,
                                  api::CreateConversationResponse* response) override {
    response->set_conversation_id("conv_1");
    return Done(context);
  }
  grpc::Status Chat(grpc::ServerContext* context, const api::ChatRequest* request,
                    grpc::ServerWriter<api::ChatResponse>* writer) override {
    chats.push_back(*request);
    api::ChatResponse event;
    *event.mutable_decided()->mutable_decision() = Decision();
    writer->Write(event);
    for (const char* text : {"It is ", "tea."}) {
      event.set_text(text);
      writer->Write(event);
    }
    event.mutable_finished()->set_text("It is tea.");
    event.mutable_finished()->add_token_ids(7);
    *event.mutable_finished()->mutable_outcome() = Outcome();
    writer->Write(event);
    return Done(context);
  }
  grpc::Status GetDecision(grpc::ServerContext* context, const api::GetDecisionRequest*,
                           api::GetDecisionResponse* response) override {
    *response->mutable_decision()->mutable_decision() = Decision();
    *response->mutable_decision()->mutable_outcome() = Outcome();
    response->mutable_decision()->set_query_text("What to drink?");
    *response->add_memories() = Tea();
    return Done(context);
  }
  grpc::Status ListDecisions(grpc::ServerContext* context, const api::ListDecisionsRequest*,
                             api::ListDecisionsResponse* response) override {
    *response->add_decisions()->mutable_decision() = Decision();
    return Done(context);
  }
  grpc::Status UpdateMemory(grpc::ServerContext* context, const api::UpdateMemoryRequest* request,
                            api::UpdateMemoryResponse* response) override {
    update = *request;
    *response->mutable_memory() = Tea();
    return Done(context);
  }
  grpc::Status GetKvStats(grpc::ServerContext* context, const api::GetKvStatsRequest*,
                          api::GetKvStatsResponse* response) override {
    auto* tier = response->mutable_stats()->add_tiers();
    tier->set_tier(common::v1::TIER_DISK);
    tier->set_tenant_bytes(3 << 20);
    tier->set_evicted(17);
    return Done(context);
  }
  grpc::Status ListKvBlocks(grpc::ServerContext* context, const api::ListKvBlocksRequest* request,
                            api::ListKvBlocksResponse* response) override {
    kv_lists.push_back(request->list());
    *response->mutable_page()->add_blocks() = KvBlock();
    if (request->list().page_token().empty()) response->mutable_page()->set_next_page_token("more");
    return Done(context);
  }
  grpc::Status VerifyKvBlocks(grpc::ServerContext* context, const api::VerifyKvBlocksRequest*,
                              api::VerifyKvBlocksResponse* response) override {
    response->mutable_result()->set_checked(9);
    response->mutable_result()->set_n_damaged(n_damaged);
    if (n_damaged > 0) *response->mutable_result()->add_damaged() = KvBlock();
    return Done(context);
  }
  grpc::Status EvictKvBlocks(grpc::ServerContext* context, const api::EvictKvBlocksRequest* request,
                             api::EvictKvBlocksResponse* response) override {
    evict = request->evict();
    response->mutable_result()->set_blocks(4);
    return Done(context);
  }
  grpc::Status VerifyAudit(grpc::ServerContext* context, const api::VerifyAuditRequest*,
                           api::VerifyAuditResponse* response) override {
    *response->mutable_result() = verified;
    return Done(context);
  }

  static kv::v1::BlockEntry KvBlock() {
    kv::v1::BlockEntry block;
    block.set_tier(common::v1::TIER_DISK);
    block.set_memory_id("mem_1");
    block.set_n_tokens(12);
    block.set_bytes(4321);
    block.set_age_seconds(90);
    block.mutable_attributes()->set_pinned(true);
    block.mutable_attributes()->mutable_expire_time()->set_seconds(4'000'000'000);
    return block;
  }

  grpc::Status status;
  int n_damaged = 0;
  api::UpdateMemoryRequest update;
  std::vector<kv::v1::ListBlocksRequest> kv_lists;
  kv::v1::EvictBlocksRequest evict;
  audit::v1::VerifyChainResponse verified;
  int n_calls = 0;
  std::string authorization;
  api::AddMemoryRequest add;
  api::GetMemoryRequest get;
  std::vector<api::AddMemoriesRequest> batches;
  std::vector<api::ChatRequest> chats;

 private:
  grpc::Status Done(grpc::ServerContext* context) {
    ++n_calls;
    const auto found = context->client_metadata().find("authorization");
    if (found != context->client_metadata().end())
      authorization.assign(found->second.data(), found->second.size());
    return status;
  }
  static memory::v1::Memory Tea() {
    memory::v1::Memory memory;
    memory.set_id("mem_1");
    memory.set_text("Ann drinks tea.");
    return memory;
  }
  static audit::v1::DecisionRecord Decision() {
    audit::v1::DecisionRecord record;
    record.set_decision_id(kDecisionId);
    record.set_mode(common::v1::MODE_INJECTED);
    record.set_gate("inject");
    auto* retrieved = record.add_retrieved();
    retrieved->set_memory_id("mem_1");
    retrieved->set_cosine(0.625f);
    retrieved->set_word_share(0.4375);
    retrieved->set_gated(true);
    auto* chosen = record.add_chosen();
    chosen->set_memory_id("mem_1");
    chosen->set_alpha_read(1);
    chosen->set_alpha_answer(2);
    auto* other = record.add_retrieved();
    other->set_memory_id("mem_2");
    other->set_reason("below_threshold");
    auto* old = record.add_retrieved();
    old->set_memory_id("mem_3");
    old->set_gated(true);
    old->set_reason("improbable");
    old->set_superseded_by("mem_1");
    return record;
  }
  static audit::v1::OutcomeRecord Outcome() {
    audit::v1::OutcomeRecord record;
    record.set_status("ok");
    auto* memory = record.add_memories();
    memory->set_memory_id("mem_1");
    memory->set_n_tokens(9);
    memory->set_tier(common::v1::TIER_RAM);
    memory->set_load_us(300);
    memory->mutable_choice()->set_path(common::v1::LoadChoice::PATH_LOAD);
    memory->mutable_choice()->set_load_estimate_us(400);
    memory->mutable_choice()->set_recompute_estimate_us(21'000);
    memory->set_attention_share(0.25);
    memory->set_attention_share_unbiased(0.125);
    record.mutable_usage()->set_injected_tokens(9);
    record.add_degraded("kv");
    return record;
  }
};

struct Result {
  int code;
  std::string out;
  std::string err;
};

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&fake_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    ::setenv("DKI_HOME", dir_.path().c_str(), 1);
    ::setenv("DKI_ADDRESS", address_.c_str(), 1);
    ::setenv("DKI_API_KEY", "secret", 1);
  }

  static Result Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "dki");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunCommandLine(static_cast<int>(argv.size()), argv.data());
    std::cout.flush();
    return {code, ::testing::internal::GetCapturedStdout(),
            ::testing::internal::GetCapturedStderr()};
  }

  testing::TempDir dir_;
  FakeDki fake_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(CommandsTest, AddSendsWhatWasSaidAndPrintsTheId) {
  const Result result =
      Run({"memory",     "add", "Ann drinks tea.", "--user",     "ann",       "--session", "s",
           "--agent",    "g",   "--tag",           "x",          "--tag",     "y",         "--pin",
           "--priority", "5",   "--metadata",      "{\"a\": 1}", "--expires", "1h"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "mem_1\n");
  const api::MemoryInput& memory = fake_.add.memory();
  EXPECT_EQ(memory.text(), "Ann drinks tea.");
  EXPECT_EQ(memory.scope().user_id() + memory.scope().session_id() + memory.scope().agent_id(),
            "annsg");
  EXPECT_THAT(memory.tags(), ::testing::ElementsAre("x", "y"));
  EXPECT_TRUE(memory.pinned());
  EXPECT_EQ(memory.priority(), 5);
  EXPECT_EQ(memory.metadata_json(), "{\"a\": 1}");
  EXPECT_TRUE(memory.has_expire_time());
  EXPECT_FALSE(fake_.add.request_id().empty());
  EXPECT_EQ(fake_.authorization, "Bearer secret");
}

TEST_F(CommandsTest, WithoutAScopeAnAdministratorSeesEveryMemory) {
  EXPECT_EQ(Run({"memory", "show", "mem_1"}).code, 0);
  EXPECT_FALSE(fake_.get.has_viewer());
  EXPECT_EQ(Run({"memory", "show", "mem_1", "--user", "ann"}).code, 0);
  EXPECT_EQ(fake_.get.viewer().user_id(), "ann");
}

TEST_F(CommandsTest, ExitCodesTellWhoMustAct) {
  using Code = grpc::StatusCode;
  for (const auto& [code, exit] : {std::pair{Code::NOT_FOUND, 1},
                                   {Code::INTERNAL, 1},
                                   {Code::PERMISSION_DENIED, 1},
                                   {Code::INVALID_ARGUMENT, 2},
                                   {Code::OUT_OF_RANGE, 2},
                                   {Code::UNAVAILABLE, 3}}) {
    fake_.status = grpc::Status(code, "the reason");
    const Result result = Run({"memory", "show", "mem_1"});
    EXPECT_EQ(result.code, exit) << code;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr("the reason"));
  }
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{},
                                                {"nonsense"},
                                                {"memory", "add"},
                                                {"chat", "q", "--alpha", "x"},
                                                {"chat", "q", "--mode", "x"},
                                                {"memory", "add", "t", "--expires", "soon"}}) {
    EXPECT_EQ(Run(wrong).code, 2);
  }
  EXPECT_EQ(Run({"--version"}).code, 0);
  EXPECT_EQ(Run({"memory", "add", "--help"}).code, 0);
}

TEST_F(CommandsTest, AnErrorIsOneLineWithWhatToDo) {
  fake_.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "embedding is\naway");
  const Result away = Run({"memory", "search", "tea"});
  EXPECT_THAT(away.err, StartsWith("error: "));
  EXPECT_THAT(away.err, HasSubstr("embedding is away"));
  EXPECT_THAT(away.err, HasSubstr("dki up"));
  EXPECT_EQ(std::count(away.err.begin(), away.err.end(), '\n'), 1);
  fake_.status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the API key is not valid");
  EXPECT_THAT(Run({"memory", "search", "tea"}).err, HasSubstr("--key"));

  server_->Shutdown();
  const Result gone = Run({"memory", "search", "tea"});
  EXPECT_EQ(gone.code, 3);
  EXPECT_THAT(gone.err, HasSubstr(address_));
  ::unsetenv("DKI_ADDRESS");
  const Result none = Run({"memory", "search", "tea"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, HasSubstr("dki up"));
}

TEST_F(CommandsTest, JsonIsOneObjectWhateverHappens) {
  const std::vector<std::vector<std::string>> commands = {{"memory", "add", "t"},
                                                          {"memory", "list", "--limit", "1"},
                                                          {"memory", "show", "mem_1"},
                                                          {"memory", "search", "q"},
                                                          {"chat", "q"},
                                                          {"explain", kDecisionId},
                                                          {"audit", "list"},
                                                          {"audit", "show", kDecisionId},
                                                          {"audit", "verify"},
                                                          {"kv", "stats"},
                                                          {"kv", "ls"},
                                                          {"kv", "verify"},
                                                          {"kv", "pin", "mem_1"},
                                                          {"kv", "evict", "--all"},
                                                          {"status"},
                                                          {"doctor"}};
  fake_.verified.set_problem("link 3 was altered");  // and not valid
  for (const bool fails : {false, true}) {
    if (fails) fake_.status = grpc::Status(grpc::StatusCode::NOT_FOUND, "gone");
    for (std::vector<std::string> command : commands) {
      command.emplace_back("--json");
      const Result result = Run(command);
      const auto json = nlohmann::json::parse(result.out, nullptr, false);
      EXPECT_TRUE(json.is_object()) << command[0] << ": " << result.out;
      if (fails && command[0] == "memory") {
        EXPECT_EQ(json["error"]["code"], "NOT_FOUND");
        EXPECT_EQ(result.err, "");
      }
    }
  }
}

TEST_F(CommandsTest, ABrokenChainIsAnError) {
  fake_.verified.set_broken_sequence(3);
  fake_.verified.set_problem("the link was altered");
  const Result broken = Run({"audit", "verify"});
  EXPECT_EQ(broken.code, 1);
  EXPECT_THAT(broken.err, HasSubstr("broken at link 3 "));
  fake_.verified.set_valid(true);
  const Result valid = Run({"audit", "verify"});
  EXPECT_EQ(valid.code, 0);
  EXPECT_THAT(valid.out, StartsWith("valid"));
}

TEST_F(CommandsTest, KvShowsAndChangesWhatIsWhere) {
  const Result stats = Run({"kv", "stats"});
  EXPECT_EQ(stats.code, 0) << stats.err;
  for (const char* shown : {"disk", "3.0 MiB", "17"}) EXPECT_THAT(stats.out, HasSubstr(shown));

  const Result list = Run({"kv", "ls", "--memory", "mem_1", "--limit", "2"});
  EXPECT_EQ(list.code, 0) << list.err;
  for (const char* shown : {"mem_1", "12", "4321", "1m30s", "beyond share", "2096-10-02"}) {
    EXPECT_THAT(list.out, HasSubstr(shown));
  }
  ASSERT_EQ(fake_.kv_lists.size(), 2u) << "page by page";
  EXPECT_EQ(fake_.kv_lists[0].memory_id(), "mem_1");
  EXPECT_EQ(fake_.kv_lists[0].page_size(), 2);
  EXPECT_EQ(fake_.kv_lists[1].page_token(), "more");
  EXPECT_EQ(fake_.kv_lists[1].page_size(), 1);

  EXPECT_THAT(Run({"kv", "verify"}).out, StartsWith("sound: 9 blocks"));
  fake_.n_damaged = 1;
  const Result damaged = Run({"kv", "verify"});
  EXPECT_EQ(damaged.code, 1);
  EXPECT_THAT(damaged.err, HasSubstr("1 of 9 blocks were damaged"));
  EXPECT_THAT(damaged.out, HasSubstr("mem_1"));

  EXPECT_EQ(Run({"kv", "pin", "mem_1"}).code, 0);
  EXPECT_EQ(fake_.update.id(), "mem_1");
  EXPECT_EQ(fake_.update.update_mask().paths(0), "pinned");
  EXPECT_TRUE(fake_.update.memory().pinned());
  EXPECT_EQ(Run({"kv", "unpin", "mem_1"}).code, 0);
  EXPECT_FALSE(fake_.update.memory().pinned());

  EXPECT_EQ(Run({"kv", "evict"}).code, 2) << "which?";
  EXPECT_THAT(Run({"kv", "evict", "mem_1"}).out, HasSubstr("evicted 4 blocks"));
  EXPECT_EQ(fake_.evict.memory_id(), "mem_1");
  EXPECT_EQ(Run({"kv", "evict", "--all"}).code, 0);
  EXPECT_TRUE(fake_.evict.all());
}

TEST_F(CommandsTest, ChatSendsItsOptionsAndExplainsTheAnswer) {
  const Result result =
      Run({"chat",        "What to drink?", "--user",    "ann",      "--mode",    "prompt",
           "--place",     "system",         "--alpha",   "0.5",      "--k",       "3",
           "--threshold", "0.25",           "--no-gate", "--system", "Be brief.", "--max-tokens",
           "9",           "--temperature",  "0.75",      "--seed",   "4",         "--stop",
           "END",         "--explain"});
  EXPECT_EQ(result.code, 0) << result.err;
  ASSERT_EQ(fake_.chats.size(), 1);
  const api::ChatRequest& request = fake_.chats[0];
  EXPECT_EQ(request.scope().user_id(), "ann");
  EXPECT_EQ(request.memory().mode(), common::v1::MODE_PROMPT);
  EXPECT_EQ(request.memory().prompt_place(), common::v1::PROMPT_PLACE_SYSTEM);
  EXPECT_EQ(request.memory().alpha(), 0.5);
  EXPECT_EQ(request.memory().k(), 3);
  EXPECT_EQ(request.memory().threshold(), 0.25f);
  EXPECT_TRUE(request.memory().has_gate() && !request.memory().gate());
  ASSERT_EQ(request.messages_size(), 2);
  EXPECT_EQ(request.messages(0).content(), "Be brief.");
  EXPECT_EQ(request.messages(1).content(), "What to drink?");
  EXPECT_EQ(request.sampling().max_tokens(), 9);
  EXPECT_EQ(request.sampling().temperature(), 0.75f);
  EXPECT_EQ(request.sampling().seed(), 4);
  EXPECT_THAT(result.out, StartsWith("It is tea.\n"));
  for (const char* shown : {"Ann drinks tea.", "0.625", "43.75 %", "1.00 → 2.00", "25.00 %",
                            "12.50 %", "ram", "load: 0.4 ms against 21.0 ms", "(erased)",
                            "below_threshold", "superseded", "without kv"}) {
    EXPECT_THAT(result.out, HasSubstr(shown));
  }
  EXPECT_THAT(result.out, Not(HasSubstr("\x1b")));
}

// What is asked again is the recorded question, with the other memories at their recorded weights.
TEST(AnswerWithoutTest, AsksAgainWithTheOtherMemoriesAtTheirWeights) {
  api::GetDecisionResponse recorded;
  recorded.mutable_decision()->set_query_text("Where is Ann?");
  auto* decision = recorded.mutable_decision()->mutable_decision();
  decision->mutable_scope()->set_user_id("ann");
  decision->set_mode(common::v1::MODE_INJECTED);
  decision->set_composition("independent");
  auto* outcome = recorded.mutable_decision()->mutable_outcome();
  for (const auto& [id, share] : {std::pair{"mem_1", 0.1}, {"mem_2", 0.4}, {"mem_3", 0.2}}) {
    auto* chosen = decision->add_chosen();
    chosen->set_memory_id(id);
    chosen->set_alpha_read(1.5);
    chosen->set_alpha_answer(2.5);
    auto* memory = outcome->add_memories();
    memory->set_memory_id(id);
    memory->set_attention_share(share);
  }
  std::string left_out;
  ASSERT_OK_AND_ASSIGN(const api::ChatRequest top, AskWithout(recorded, "top", &left_out));
  EXPECT_EQ(left_out, "mem_2");
  EXPECT_EQ(top.messages(0).content(), "Where is Ann?");
  EXPECT_EQ(top.scope().user_id(), "ann");
  EXPECT_EQ(top.memory().mode(), common::v1::MODE_INJECTED);
  EXPECT_EQ(top.memory().composition(), "independent");
  ASSERT_EQ(top.memory().memory_ids_size(), 2);
  EXPECT_EQ(top.memory().memory_ids(1), "mem_3");
  EXPECT_EQ(top.memory().weights(1).memory_id(), "mem_3");
  EXPECT_EQ(top.memory().weights(1).alpha_answer(), 2.5);
  ASSERT_OK_AND_ASSIGN(const api::ChatRequest none, AskWithout(recorded, "all", &left_out));
  EXPECT_EQ(left_out, "");
  EXPECT_EQ(none.memory().mode(), common::v1::MODE_VANILLA);
  EXPECT_EQ(AskWithout(recorded, "mem_9", &left_out).status().code(),
            absl::StatusCode::kInvalidArgument);
  recorded.mutable_decision()->clear_query_text();
  EXPECT_EQ(AskWithout(recorded, "mem_1", &left_out).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(CommandsTest, AConversationSendsOnlyWhatIsNew) {
  std::istringstream in("first\n\nsecond\n/quit\nnever\n");
  std::streambuf* before = std::cin.rdbuf(in.rdbuf());
  const Result result = Run({"chat"});
  std::cin.rdbuf(before);
  EXPECT_EQ(result.code, 0) << result.err;
  ASSERT_EQ(fake_.chats.size(), 2);
  for (const api::ChatRequest& request : fake_.chats) {
    EXPECT_EQ(request.conversation_id(), "conv_1");
    EXPECT_EQ(request.messages_size(), 1);
  }
  EXPECT_EQ(fake_.chats[1].messages(0).content(), "second");
  EXPECT_NE(fake_.chats[0].request_id(), fake_.chats[1].request_id());
}

class ImportTest : public CommandsTest {
 protected:
  Result Import(const std::string& contents, std::vector<std::string> more = {}) {
    std::ofstream(dir_.File("memories")) << contents;
    more.insert(more.begin(), {"memory", "import", dir_.File("memories")});
    return Run(more);
  }
};

TEST_F(ImportTest, BatchesAndTheirIdsFollowFromTheFile) {
  std::string lines;
  for (int i = 0; i < 450; ++i) lines += "Fact " + std::to_string(i) + "\n\n";
  EXPECT_THAT(Import(lines, {"--user", "ann"}).out, HasSubstr("450 memories read"));
  ASSERT_EQ(fake_.batches.size(), 3);
  EXPECT_EQ(fake_.batches[0].memories_size(), 200);
  EXPECT_EQ(fake_.batches[2].memories_size(), 50);
  EXPECT_EQ(fake_.batches[2].memories(49).text(), "Fact 449");
  EXPECT_EQ(fake_.batches[0].memories(0).scope().user_id(), "ann");
  EXPECT_NE(fake_.batches[0].request_id(), fake_.batches[1].request_id());
  Import(lines, {"--user", "ann"});
  ASSERT_EQ(fake_.batches.size(), 6);
  EXPECT_EQ(fake_.batches[3].request_id(), fake_.batches[0].request_id());
}

TEST_F(ImportTest, JsonLinesCarryTheirFields) {
  EXPECT_EQ(Import(R"({"text": "a", "user": "ann", "tags": ["x"], "pinned": true, "priority": 3,)"
                   R"( "metadata": {"n": 1}, "expires": "2099-01-01T00:00:00Z"})"
                   "\n"
                   R"({"text": "b", "scope": {"user": "bob", "session": "s"}})")
                .code,
            0);
  ASSERT_EQ(fake_.batches.size(), 1);
  const api::MemoryInput& a = fake_.batches[0].memories(0);
  EXPECT_EQ(a.scope().user_id(), "ann");
  EXPECT_THAT(a.tags(), ::testing::ElementsAre("x"));
  EXPECT_TRUE(a.pinned());
  EXPECT_EQ(a.priority(), 3);
  EXPECT_EQ(a.metadata_json(), R"({"n":1})");
  EXPECT_EQ(a.expire_time().seconds(), 4070908800);
  EXPECT_EQ(fake_.batches[0].memories(1).scope().session_id(), "s");
}

TEST_F(ImportTest, ABadLineIsNamedAndNothingIsSent) {
  for (const char* bad :
       {R"({"text": 1})", R"({"texts": "a"})", "{", R"({"text": "a", "user_id": "ann"})",
        R"({"text": "a", "scope": {"users": "ann"}})", R"({"text": "a", "tags": "x"})",
        R"({"text": "a", "pinned": "yes"})", R"({"text": "a", "priority": 1.5})",
        R"({"text": "a", "expires": "soon"})"}) {
    const Result result = Import("fine\n" + std::string(bad) + "\n");
    EXPECT_EQ(result.code, 2) << bad;
    EXPECT_THAT(result.err, HasSubstr("line 2")) << bad;
  }
  EXPECT_EQ(Run({"memory", "import", dir_.File("nothing")}).code, 2);
  EXPECT_EQ(fake_.n_calls, 0);
}

TEST_F(CommandsTest, TheLocalKeyDoesNotLeaveTheMachine) {
  ::unsetenv("DKI_API_KEY");
  const nlohmann::json settings = {
      {"address", "127.0.0.1:1"}, {"api_key", "local secret"}, {"tenant", "default"}};
  ASSERT_OK(WriteFileAtomically(dir_.File("client.json"), settings.dump(), 0600));
  const Result result = Run({"memory", "show", "mem_1", "--address", "192.0.2.1:7105"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("--key"));
  EXPECT_EQ(Run({"memory", "show", "mem_1"}).code, 0);
  EXPECT_EQ(fake_.authorization, "Bearer local secret");
  EXPECT_EQ(Run({"memory", "show", "mem_1", "--key", "mine"}).code, 0);
  EXPECT_EQ(fake_.authorization, "Bearer mine");
}

TEST(EscapeControlsTest, NothingMovesTheCursor) {
  EXPECT_EQ(EscapeControls("a\x1b[2Jb\r\x07\x7f"),
            "a\xEF\xBF\xBD[2Jb\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(EscapeControls("\xC2\x9B"), "\xEF\xBF\xBD");
  EXPECT_EQ(EscapeControls("line\n\ttab é 😀"), "line\n\ttab é 😀");
}

}  // namespace
}  // namespace dki::cli
