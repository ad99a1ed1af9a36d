// SPDX-License-Identifier: Apache-2.0
// The whole service between a real client and scripted services behind it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dki/orchestrator/v1/dki_service.grpc.pb.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/testing/status_matchers.h"
#include "services/orchestrator/fakes_for_test.h"
#include "services/orchestrator/server.h"

namespace dki::orchestrator {

inline constexpr char kAllScopes[] = "acme/chat,memory:read,memory:write";
inline constexpr char kAdmin[] = "acme/admin";

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

}  // namespace dki::orchestrator
