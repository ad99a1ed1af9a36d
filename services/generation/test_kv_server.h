// SPDX-License-Identifier: Apache-2.0
// A gRPC kv service for tests: computes what it is asked for, and can be told to misbehave.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "dki/kv/v1/kv_service.grpc.pb.h"
#include "libs/base/check.h"
#include "libs/base/mutex.h"
#include "libs/clients/memory_attributes.h"
#include "libs/engine/loaded_model.h"
#include "libs/injection/block_maker.h"
#include "libs/injection/pack_plan.h"
#include "libs/kvcache/block.h"
#include "libs/transfer/handoff_giver.h"

namespace dki::generation {

// Serves `service` on a port of its own.
class TestServer {
 public:
  explicit TestServer(grpc::Service* service) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    DKI_CHECK(server_ != nullptr);
  }
  ~TestServer() { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class TestKvService final : public kv::v1::KvService::Service {
 public:
  TestKvService(engine::LoadedModel* model, std::string tenant_id)
      : model_(model), tenant_id_(std::move(tenant_id)) {}

  // What is done to the encoded bytes of block `index` before they are sent.
  std::function<void(size_t index, std::string* bytes)> damage;
  // Blocks are handed over here when the caller can take them. Null: streamed.
  transfer::HandoffGiver* handoff = nullptr;
  // What is said of a handed-over block.
  std::function<void(kv::v1::GetPackResponse::BlockStart*)> misreport;
  std::atomic<int> n_calls = 0;
  // Says that a block was handed over to who cannot take any.
  std::atomic<bool> tag_anyway = false;
  // Sends nothing until the caller gives up.
  std::atomic<bool> hang = false;
  // Of the last call.
  std::atomic<std::chrono::system_clock::time_point> deadline;
  kv::v1::GetPackRequest last_request() {
    MutexLock lock(&mutex_);
    return last_request_;
  }
  // Leaves the last block out.
  std::atomic<bool> stop_early = false;

  grpc::Status GetPack(grpc::ServerContext* context, const kv::v1::GetPackRequest* request,
                       grpc::ServerWriter<kv::v1::GetPackResponse>* writer) override {
    deadline = context->deadline();
    {
      MutexLock lock(&mutex_);
      last_request_ = *request;
    }
    ++n_calls;
    while (hang && !context->IsCancelled()) std::this_thread::yield();
    std::vector<injection::PackMemoryText> memories;
    for (const kv::v1::PackMemory& memory : request->pack().memories()) {
      memories.push_back(
          {memory.memory_id(), memory.text(), clients::ToAttributes(memory.attributes())});
    }
    const injection::PackPlan plan =
        injection::PlanPack(*model_->format, tenant_id_, model_->model->config().kv_fingerprint,
                            request->pack().context_system_prompt(), memories,
                            *model::ParseBlockFormat(request->block_format()),
                            injection::ParseComposition(request->pack().composition())
                                .value_or(injection::Composition()));
    injection::BlockMaker maker(model_->model.get(), *model_->format, {});
    const auto blocks = maker.MakePack(plan);
    DKI_CHECK(blocks.ok());
    const auto lease = handoff == nullptr ? nullptr : handoff->Take(request->handoff_token());
    for (size_t i = 0; i + (stop_early ? 1 : 0) < blocks->size(); ++i) {
      std::string bytes = kvcache::EncodeBlock((*blocks)[i].block, maker.codec());
      if (damage) damage(i, &bytes);
      kv::v1::GetPackResponse start;
      start.mutable_start()->set_tier(common::v1::TIER_RAM);
      start.mutable_start()->set_load_us(7);
      start.mutable_start()->mutable_choice()->set_path(common::v1::LoadChoice::PATH_LOAD);
      start.mutable_start()->mutable_choice()->set_load_estimate_us(5);
      start.mutable_start()->mutable_choice()->set_recompute_estimate_us(5000);
      if (lease != nullptr) {
        start.mutable_start()->set_n_bytes(static_cast<int64_t>(bytes.size()));
        const auto tag = lease->Give(**transfer::SealedMemory::Create(bytes));
        if (!tag.ok()) break;  // the taker has gone
        start.mutable_start()->set_handoff_tag(*tag);
        if (misreport) misreport(start.mutable_start());
        writer->Write(start);
        continue;
      }
      if (tag_anyway) start.mutable_start()->set_handoff_tag(std::string(16, 't'));
      writer->Write(start);
      for (size_t at = 0; at < bytes.size(); at += kChunkBytes) {
        kv::v1::GetPackResponse chunk;
        chunk.set_chunk(bytes.substr(at, kChunkBytes));
        writer->Write(chunk);
      }
    }
    return grpc::Status::OK;
  }

 private:
  static constexpr size_t kChunkBytes = 1000;
  engine::LoadedModel* const model_;
  const std::string tenant_id_;
  Mutex mutex_;
  kv::v1::GetPackRequest last_request_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::generation
