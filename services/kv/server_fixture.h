// SPDX-License-Identifier: Apache-2.0
// Purpose: the service as generation sees it: real tiers, real RPCs, a small model, restarts.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "dki/kv/v1/kv_service.grpc.pb.h"
#include "libs/clients/memory_attributes.h"
#include "libs/engine/loaded_model.h"
#include "libs/injection/block_maker.h"
#include "libs/rpc/client.h"
#include "libs/rpc/grpc_server.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"
#include "services/kv/server.h"
#include "services/kv/test_feed.h"

namespace dki::kv {

// A running service; gone with its destructor, as a process is.
class Process {
 public:
  explicit Process(const config::v1::KvServer& config)
      : runtime_(rpc::ServiceRuntime::ForTesting("kv")) {
    auto instance = BuildKvServer(config, runtime_.get());
    DKI_CHECK(instance.ok());
    instance_ = *std::move(instance);
    auto server = rpc::GrpcServer::Start(config.server(), runtime_.get(), instance_.get());
    EXPECT_OK(server);
    server_ = *std::move(server);
    stub_ =
        v1::KvService::NewStub(rpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port())));
  }
  ~Process() { server_->Drain(); }

  rpc::ServiceRuntime& runtime() { return *runtime_; }
  v1::KvService::Stub& stub() { return *stub_; }
  std::unique_ptr<grpc::ClientContext> Context(const std::string& tenant_id = "tenant") {
    auto context =
        rpc::OutgoingContext(runtime_->cluster_key(), tenant_id, "test", std::chrono::seconds(600));
    context->set_wait_for_ready(true);
    return context;
  }
  v1::GetStatsResponse Stats() {
    v1::GetStatsResponse stats;
    EXPECT_TRUE(stub_->GetStats(Context().get(), {}, &stats).ok());
    return stats;
  }

 private:
  std::unique_ptr<rpc::ServiceRuntime> runtime_;
  std::unique_ptr<rpc::ServiceInstance> instance_;
  std::unique_ptr<rpc::GrpcServer> server_;
  std::unique_ptr<v1::KvService::Stub> stub_;
};

struct Received {
  absl::Status status;
  std::vector<common::v1::Tier> tiers;
  std::vector<std::string> blocks;
  std::vector<v1::GetPackResponse::BlockStart> starts;
  size_t largest_chunk = 0;
};

class KvServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = testing::WriteTinyModel(folder_.path());
    ASSERT_OK_AND_ASSIGN(model_, engine::LoadedModel::Load(path, {}));
    config_ = DefaultConfig();
    config_.mutable_server()->set_listen("127.0.0.1:0");
    config_.mutable_server()->set_metrics_listen("");
    config_.mutable_memory_store()->set_address(feed_.address());
    config_.mutable_runtime()->set_model(path);
    // Whether a tiny model computes faster than this machine reads is not for these tests to know.
    config_.set_always_load(true);
    config_.set_disk_path(folder_.File("blocks"));
    Start();
  }
  void Start() { process_ = std::make_unique<Process>(config_); }
  void Restart() {
    process_ = nullptr;
    Start();
  }

  v1::GetPackRequest Request(int n_memories) {
    v1::GetPackRequest request;
    request.set_model_fingerprint(model_.model->config().kv_fingerprint);
    request.mutable_pack()->set_composition("pack");  // each memory has seen the earlier ones
    for (int i = 0; i < n_memories; ++i) {
      v1::PackMemory* memory = request.mutable_pack()->add_memories();
      memory->set_memory_id(absl::StrFormat("mem_%d", i));
      memory->set_text(absl::StrFormat("Note %d is about tea.", i));
      memory->mutable_attributes()->set_source_class(common::v1::SOURCE_CLASS_USER);
    }
    return request;
  }
  Received GetPack(const v1::GetPackRequest& request, const std::string& tenant_id = "tenant") {
    Received received;
    const auto context = process_->Context(tenant_id);
    const auto reader = process_->stub().GetPack(context.get(), request);
    v1::GetPackResponse response;
    while (reader->Read(&response)) {
      if (response.has_start()) {
        received.starts.push_back(response.start());
        received.tiers.push_back(response.start().tier());
        received.blocks.emplace_back();
      } else {
        received.largest_chunk = std::max(received.largest_chunk, response.chunk().size());
        received.blocks.back() += response.chunk();
      }
    }
    received.status = rpc::FromGrpcStatus(reader->Finish());
    return received;
  }
  injection::PackPlan Plan(const v1::GetPackRequest& request,
                           const std::string& tenant_id = "tenant") {
    std::vector<injection::PackMemoryText> memories;
    for (const auto& memory : request.pack().memories()) {
      memories.push_back(
          {memory.memory_id(), memory.text(), clients::ToAttributes(memory.attributes())});
    }
    return injection::PlanPack(*model_.format, tenant_id, model_.model->config().kv_fingerprint,
                               model_.format->default_system_prompt(), memories,
                               *model::ParseBlockFormat(config_.runtime().block_format()));
  }
  model::PlaneCodec Codec() const { return model::PlaneCodec(model_.model->config()); }
  std::vector<std::string> Fresh(const v1::GetPackRequest& request) {
    injection::BlockMaker maker(model_.model.get(), *model_.format, {});
    const auto blocks = maker.MakePack(Plan(request));
    EXPECT_OK(blocks);
    std::vector<std::string> bytes;
    for (const injection::MadeBlock& made : *blocks) {
      bytes.push_back(kvcache::EncodeBlock(made.block, Codec()));
    }
    return bytes;
  }
  // Waits by a question that the server answers: how many erasures it has applied.
  void WaitForErasures(double n) {
    telemetry::Counter* erasures =
        process_->runtime().metrics().GetCounter("dki_kv_erasures_total", "");
    while (erasures->value() < n) std::this_thread::yield();
  }
  // Blocks are written to disk behind the answer.
  void WaitForBlocksOnDisk(int64_t n) {
    const auto on_disk = [&] {
      const v1::GetStatsResponse stats = process_->Stats();
      for (const v1::TierUsage& tier : stats.tiers()) {
        if (tier.tier() == common::v1::TIER_DISK) return tier.blocks();
      }
      return int64_t{0};
    };
    while (on_disk() < n) std::this_thread::yield();
  }

  testing::TempDir folder_;
  TestFeed feed_;
  engine::LoadedModel model_;
  config::v1::KvServer config_;
  std::unique_ptr<Process> process_;
};

}  // namespace dki::kv
