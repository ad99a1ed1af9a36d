// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/server.h"

#include <string>
#include <utility>

#include "services/orchestrator/authenticate.h"
#include "services/orchestrator/chat_pipeline.h"
#include "services/orchestrator/dki_service.h"
#include "services/orchestrator/key_cache.h"

namespace dki::orchestrator {
namespace {

constexpr int kPort = 7105;
// Without `required` audit, chat goes on while the store is away; then keys must go on too.
constexpr absl::Duration kStaleKeys = absl::Minutes(10);
constexpr int64_t kMaxTimeoutSeconds = 3600;

void SetUpstream(const char* address, int64_t timeout_ms, config::v1::Upstream* upstream) {
  upstream->set_address(address);
  upstream->mutable_timeout()->set_seconds(timeout_ms / 1000);
  upstream->mutable_timeout()->set_nanos(static_cast<int32_t>(timeout_ms % 1000) * 1'000'000);
}

absl::StatusOr<Timeout> TimeoutOf(const char* field, const config::v1::Upstream& upstream) {
  const auto& timeout = upstream.timeout();
  const Timeout parsed(timeout.seconds() * 1000 + timeout.nanos() / 1'000'000);
  if (timeout.seconds() < 0 || timeout.seconds() > kMaxTimeoutSeconds || timeout.nanos() < 0 ||
      parsed.count() < 1) {
    return InvalidArgument("%s.timeout must be from 1ms to %ds", field, kMaxTimeoutSeconds);
  }
  return parsed;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelTo(const char* field,
                                                         const config::v1::Upstream& upstream) {
  if (upstream.address().empty()) return InvalidArgument("%s.address must be set", field);
  return rpc::CreateChannel(upstream.address());
}

class Orchestrator : public rpc::ServiceInstance {
 public:
  Orchestrator(PipelineConfig config, Upstreams upstreams, std::vector<ClusterPart> cluster,
               rpc::ServiceRuntime* runtime)
      : config_(std::move(config)),
        upstreams_(std::move(upstreams)),
        runtime_(*runtime),
        retriever_(&upstreams_, &positions_, config_.audit == AuditPolicy::kRequired),
        model_(&upstreams_),
        keys_(
            {.stale_for =
                 config_.audit == AuditPolicy::kRequired ? absl::ZeroDuration() : kStaleKeys},
            [this](const std::string& secret) { return AuthenticateSecret(upstreams_, secret); },
            RealClock()),
        memories_(&upstreams_, &retriever_, &positions_),
        kv_(&upstreams_),
        cluster_(std::move(cluster)) {}
  ~Orchestrator() override { runtime_.SetKeyVerifier(nullptr); }

  absl::Status Initialize() {
    DKI_ASSIGN_OR_RETURN(audit_, AuditWriter::Create(config_, &upstreams_, &runtime_.metrics()));
    decisions_ = std::make_unique<DecisionApi>(&upstreams_, &retriever_, audit_.get());
    chat_ = std::make_unique<ChatPipeline>(ChatPipeline::Parts{.config = &config_,
                                                               .upstreams = &upstreams_,
                                                               .retriever = &retriever_,
                                                               .audit = audit_.get(),
                                                               .model = &model_,
                                                               .metrics = &runtime_.metrics(),
                                                               .clock = RealClock()});
    service_ = std::make_unique<DkiServiceRpc>(DkiServiceRpc::Parts{.runtime = &runtime_,
                                                                    .chat = chat_.get(),
                                                                    .memories = &memories_,
                                                                    .decisions = decisions_.get(),
                                                                    .kv = &kv_,
                                                                    .model = &model_,
                                                                    .cluster = cluster_});
    runtime_.SetKeyVerifier([this](const std::string& secret) { return keys_.Verify(secret); });
    return absl::OkStatus();
  }

  std::vector<grpc::Service*> services() override { return {service_.get()}; }
  // It holds nothing that must be loaded first; GetClusterStatus tells of the parts behind it.
  absl::Status Start() override {
    runtime_.SetReady(true);
    return absl::OkStatus();
  }
  void Drain() override {}

 private:
  const PipelineConfig config_;
  const Upstreams upstreams_;
  rpc::ServiceRuntime& runtime_;
  TenantPositions positions_;
  Retriever retriever_;
  ModelInfo model_;
  KeyCache keys_;
  MemoryApi memories_;
  KvApi kv_;
  const std::vector<ClusterPart> cluster_;
  std::unique_ptr<AuditWriter> audit_;
  std::unique_ptr<DecisionApi> decisions_;
  std::unique_ptr<ChatPipeline> chat_;
  std::unique_ptr<DkiServiceRpc> service_;
};

}  // namespace

config::v1::OrchestratorServer DefaultConfig() {
  config::v1::OrchestratorServer config;
  *config.mutable_server() = rpc::DefaultServer(kPort);
  SetUpstream("127.0.0.1:7101", 5'000, config.mutable_memory_store());
  SetUpstream("127.0.0.1:7102", 2'000, config.mutable_retrieval());
  SetUpstream("127.0.0.1:7103", 1'000, config.mutable_kv());
  SetUpstream("127.0.0.1:7104", 120'000, config.mutable_generation());
  const PipelineConfig defaults;
  config.mutable_retrieve()->set_k(defaults.k);
  config.mutable_gate()->set_enabled(defaults.gate.enabled);
  config.mutable_gate()->set_threshold(static_cast<float>(defaults.gate.threshold));
  config.mutable_gate()->set_probe(defaults.probe);
  auto* alpha = config.mutable_alpha();
  alpha->set_beta(defaults.alpha.beta);
  alpha->set_floor(defaults.alpha.floor);
  alpha->set_read(defaults.alpha.read);
  alpha->set_answer(defaults.alpha.answer);
  alpha->set_cap_user(defaults.alpha.cap_user);
  alpha->set_cap_operator(defaults.alpha.cap_operator);
  alpha->set_cap_document(defaults.alpha.cap_document);
  alpha->set_cap_assistant(defaults.alpha.cap_assistant);
  alpha->set_cap_tool(defaults.alpha.cap_tool);
  config.mutable_assemble()->set_max_pack_tokens(defaults.max_pack_tokens);
  config.mutable_assemble()->set_system_prompt(defaults.system_prompt);
  config.mutable_assemble()->set_default_max_tokens(defaults.default_max_tokens);
  config.mutable_assemble()->set_composition(injection::ToString(defaults.composition));
  config.mutable_audit()->set_policy("required");
  config.mutable_audit()->set_spool_path("");
  return config;
}

absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildOrchestratorServer(
    const config::v1::OrchestratorServer& config, rpc::ServiceRuntime* runtime) {
  DKI_ASSIGN_OR_RETURN(PipelineConfig pipeline, ParsePipelineConfig(config));
  DKI_ASSIGN_OR_RETURN(const auto store, ChannelTo("memory_store", config.memory_store()));
  DKI_ASSIGN_OR_RETURN(const auto retrieval, ChannelTo("retrieval", config.retrieval()));
  DKI_ASSIGN_OR_RETURN(const auto kv, ChannelTo("kv", config.kv()));
  DKI_ASSIGN_OR_RETURN(const auto generation, ChannelTo("generation", config.generation()));

  Upstreams upstreams(runtime->cluster_key());
  upstreams.memory_store = memory::v1::MemoryStoreService::NewStub(store);
  upstreams.audit = audit::v1::AuditService::NewStub(store);
  upstreams.tenants = tenant::v1::TenantService::NewStub(store);
  upstreams.erasures = erasure::v1::ErasureService::NewStub(store);
  upstreams.retrieval = retrieval::v1::RetrievalService::NewStub(retrieval);
  upstreams.kv = kv::v1::KvService::NewStub(kv);
  upstreams.generation = generation::v1::GenerationService::NewStub(generation);
  DKI_ASSIGN_OR_RETURN(upstreams.memory_store_timeout,
                       TimeoutOf("memory_store", config.memory_store()));
  DKI_ASSIGN_OR_RETURN(upstreams.retrieval_timeout, TimeoutOf("retrieval", config.retrieval()));
  DKI_ASSIGN_OR_RETURN(upstreams.kv_timeout, TimeoutOf("kv", config.kv()));
  DKI_ASSIGN_OR_RETURN(upstreams.generation_timeout, TimeoutOf("generation", config.generation()));

  using grpc::health::v1::Health;
  std::vector<ClusterPart> cluster = {
      {"memory_store", config.memory_store().address(), Health::NewStub(store)},
      {"retrieval", config.retrieval().address(), Health::NewStub(retrieval)},
      {"kv", config.kv().address(), Health::NewStub(kv)},
      {"generation", config.generation().address(), Health::NewStub(generation)}};

  auto orchestrator = std::make_unique<Orchestrator>(std::move(pipeline), std::move(upstreams),
                                                     std::move(cluster), runtime);
  DKI_RETURN_IF_ERROR(orchestrator->Initialize());
  return orchestrator;
}

}  // namespace dki::orchestrator
