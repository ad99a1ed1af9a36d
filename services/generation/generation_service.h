// SPDX-License-Identifier: Apache-2.0
// Purpose: the wire: converts, calls the engine, converts back.
// Thread-safety: thread-safe. Ownership: the runtime must outlive it, and so must the engine and
//   the model given to SetReady.
#pragma once

#include <atomic>

#include "dki/generation/v1/generation_service.grpc.pb.h"
#include "libs/engine/engine.h"
#include "libs/engine/loaded_model.h"
#include "libs/rpc/call.h"
#include "libs/rpc/service_runtime.h"

namespace dki::generation {

class GenerationServiceImpl final : public v1::GenerationService::Service {
 public:
  explicit GenerationServiceImpl(rpc::ServiceRuntime* runtime) : runtime_(runtime) {}

  // Once the model is loaded. Until then every call is UNAVAILABLE. `modulation` may be null.
  void Serve(engine::Engine* engine, const engine::LoadedModel* model,
             std::shared_ptr<const injection::Modulation> modulation);

  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override;
  grpc::Status Score(grpc::ServerContext* context, const v1::ScoreRequest* request,
                     v1::ScoreResponse* response) override;
  grpc::Status Probe(grpc::ServerContext* context, const v1::ProbeRequest* request,
                     v1::ProbeResponse* response) override;
  grpc::Status GetModel(grpc::ServerContext* context, const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override;

 private:
  absl::StatusOr<engine::Engine*> Ready() const;

  rpc::ServiceRuntime* const runtime_;
  const engine::LoadedModel* model_ = nullptr;               // written before engine_
  std::shared_ptr<const injection::Modulation> modulation_;  // as model_
  std::atomic<engine::Engine*> engine_ = nullptr;
};

}  // namespace dki::generation
