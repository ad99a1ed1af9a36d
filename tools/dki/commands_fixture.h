// SPDX-License-Identifier: Apache-2.0
// Purpose: whole commands against a fake DkiService: what they send, print and return.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "dki/orchestrator/v1/dki_service.grpc.pb.h"
#include "libs/testing/temp_dir.h"
#include "tools/dki/options.h"

namespace dki::cli {

namespace api = orchestrator::v1;

inline constexpr char kDecisionId[] = "dec_00000000000000000000000000000001";

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

}  // namespace dki::cli
