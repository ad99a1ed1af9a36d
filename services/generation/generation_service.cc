// SPDX-License-Identifier: Apache-2.0
#include "services/generation/generation_service.h"

#include <string>

#include "services/generation/convert.h"

namespace dki::generation {
namespace {

class StreamSink : public engine::AnswerSink {
 public:
  StreamSink(std::string model_fingerprint, grpc::ServerWriter<v1::GenerateResponse>* writer)
      : model_fingerprint_(std::move(model_fingerprint)), writer_(writer) {}

  bool OnStarted(const engine::Started& started) override {
    v1::GenerateResponse response;
    ToProto(started, response.mutable_started());
    response.mutable_started()->set_model_fingerprint(model_fingerprint_);
    return writer_->Write(response);
  }
  bool OnText(std::string_view text) override {
    v1::GenerateResponse response;
    response.set_text(std::string(text));
    return writer_->Write(response);
  }

 private:
  const std::string model_fingerprint_;
  grpc::ServerWriter<v1::GenerateResponse>* const writer_;
};

// The engine polls the call between tokens; the handler blocks until the engine is done with it.
absl::StatusOr<engine::RequestContext> ToContext(const rpc::Call& call) {
  if (call.caller().tenant_id.empty()) {
    return PermissionDenied("the call must be made on behalf of a tenant");
  }
  return engine::RequestContext{.tenant_id = call.caller().tenant_id,
                                .request_id = call.request_id(),
                                .deadline = call.deadline(),
                                .cancelled = [&call] { return call.IsCancelled(); }};
}

// Tells a client of a full queue when to come back.
absl::Status WithRetryHint(const rpc::Call& call, const engine::Engine& engine,
                           absl::Status status) {
  if (absl::IsResourceExhausted(status)) {
    call.context()->AddTrailingMetadata("retry-after-ms",
                                        std::to_string(engine.RetryAfter().count()));
  }
  return status;
}

}  // namespace

void GenerationServiceImpl::Serve(engine::Engine* engine, const engine::LoadedModel* model,
                                  std::shared_ptr<const injection::Modulation> modulation) {
  model_ = model;
  modulation_ = std::move(modulation);
  engine_.store(engine, std::memory_order_release);
}

absl::StatusOr<engine::Engine*> GenerationServiceImpl::Ready() const {
  engine::Engine* engine = engine_.load(std::memory_order_acquire);
  if (engine == nullptr) return Unavailable("the model is being loaded");
  return engine;
}

grpc::Status GenerationServiceImpl::Generate(grpc::ServerContext* context,
                                             const v1::GenerateRequest* request,
                                             grpc::ServerWriter<v1::GenerateResponse>* writer) {
  return rpc::Handle(
      *runtime_, context, "Generate", rpc::Requirement::ClusterOnly(),
      [&](const rpc::Call& call) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(engine::Engine* const engine, Ready());
        DKI_ASSIGN_OR_RETURN(const engine::RequestContext request_context, ToContext(call));
        DKI_ASSIGN_OR_RETURN(const engine::Prompt prompt, ToPrompt(request->prompt(), modulation_));
        StreamSink sink(model_->model->config().fingerprint, writer);
        const absl::StatusOr<engine::Answer> answer =
            engine->Generate(request_context, prompt, ToAnswerOptions(request->sampling()), &sink);
        if (!answer.ok()) return WithRetryHint(call, *engine, answer.status());
        v1::GenerateResponse response;
        ToProto(*answer, response.mutable_finished());
        writer->Write(response);
        if (answer->finish_reason == "cancelled") return Cancelled("the client cancelled the call");
        return absl::OkStatus();
      });
}

grpc::Status GenerationServiceImpl::Score(grpc::ServerContext* context,
                                          const v1::ScoreRequest* request,
                                          v1::ScoreResponse* response) {
  return rpc::Handle(
      *runtime_, context, "Score", rpc::Requirement::ClusterOnly(),
      [&](const rpc::Call& call) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(engine::Engine* const engine, Ready());
        DKI_ASSIGN_OR_RETURN(const engine::RequestContext request_context, ToContext(call));
        DKI_ASSIGN_OR_RETURN(const engine::Prompt prompt, ToPrompt(request->prompt(), modulation_));
        const absl::StatusOr<engine::ScoreResult> scores =
            engine->Score(request_context, prompt, request->continuation());
        if (!scores.ok()) return WithRetryHint(call, *engine, scores.status());
        ToProto(*scores, response);
        return absl::OkStatus();
      });
}

grpc::Status GenerationServiceImpl::Probe(grpc::ServerContext* context,
                                          const v1::ProbeRequest* request,
                                          v1::ProbeResponse* response) {
  return rpc::Handle(
      *runtime_, context, "Probe", rpc::Requirement::ClusterOnly(),
      [&](const rpc::Call& call) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(engine::Engine* const engine, Ready());
        DKI_ASSIGN_OR_RETURN(const engine::RequestContext request_context, ToContext(call));
        DKI_ASSIGN_OR_RETURN(const engine::Prompt prompt, ToPrompt(request->prompt(), modulation_));
        std::vector<injection::AttentionHead> heads;
        for (const v1::AttentionHead& head : request->heads()) {
          heads.push_back({head.layer(), head.head()});
        }
        const absl::StatusOr<engine::ProbeResult> probe =
            engine->Probe(request_context, prompt, heads);
        if (!probe.ok()) return WithRetryHint(call, *engine, probe.status());
        ToProto(*probe, response);
        return absl::OkStatus();
      });
}

grpc::Status GenerationServiceImpl::GetModel(grpc::ServerContext* context,
                                             const v1::GetModelRequest*,
                                             v1::GetModelResponse* response) {
  return rpc::Handle(*runtime_, context, "GetModel", rpc::Requirement::Authenticated(),
                     [&](const rpc::Call&) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Ready().status());
                       const model::ModelConfig& config = model_->model->config();
                       response->set_name(config.name);
                       response->set_fingerprint(config.fingerprint);
                       response->set_kv_fingerprint(config.kv_fingerprint);
                       response->set_context_length(config.context_length);
                       response->set_vocab_size(config.vocab_size);
                       response->set_runtime(model_->model->description());
                       if (modulation_ != nullptr) {
                         response->set_modulation_fingerprint(modulation_->fingerprint());
                       }
                       response->set_default_system_prompt(model_->format->default_system_prompt());
                       return absl::OkStatus();
                     });
}

}  // namespace dki::generation
