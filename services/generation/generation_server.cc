// SPDX-License-Identifier: Apache-2.0
#include "services/generation/generation_server.h"

#include <chrono>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "libs/base/clock.h"
#include "libs/clients/erasure_reporter.h"
#include "libs/clients/feed_follower.h"
#include "libs/injection/known_modulations.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"
#include "services/generation/config.h"
#include "services/generation/engine_metrics.h"
#include "services/generation/erasure_consumer.h"
#include "services/generation/generation_service.h"
#include "services/generation/kv_pack_source.h"

namespace dki::generation {
namespace {

// For answers under way to end, before an erasure is reported without them.
constexpr std::chrono::seconds kPatience{60};

class GenerationServer : public rpc::ServiceInstance {
 public:
  GenerationServer(Settings settings, rpc::ServiceRuntime* runtime)
      : settings_(std::move(settings)),
        runtime_(runtime),
        metrics_(&runtime->metrics(), settings_.engine.kv_cache_bytes),
        service_(runtime) {}

  std::vector<grpc::Service*> services() override { return {&service_}; }

  // The listener is up and says NOT_SERVING while the model is loaded (about a second).
  absl::Status Start() override {
    absl::StatusOr<engine::LoadedModel> loaded =
        engine::LoadedModel::Load(settings_.model_path, settings_.model);
    if (!loaded.ok()) return Annotate(loaded.status(), "runtime.model");
    model_ = *std::move(loaded);
    auto modulation = injection::LoadModulation(settings_.modulation_file, model_.model->config(),
                                                settings_.model.isa);
    if (!modulation.ok()) return Annotate(modulation.status(), "modulation_file");
    packs_ = std::make_unique<KvPackSource>(
        KvPackSource::Options{.codec = model::PlaneCodec(model_.model->config()),
                              .timeout = settings_.kv_timeout,
                              .handoff_socket = settings_.handoff_socket},
        runtime_->cluster_key(),
        kv::v1::KvService::NewStub(rpc::CreateChannel(settings_.kv_address)), &runtime_->metrics());
    cached_packs_ = std::make_unique<engine::PackCache>(settings_.packs, packs_.get());
    if (!settings_.memory_store_address.empty()) {
      erasures_ =
          std::make_unique<ErasureConsumer>(cached_packs_.get(), &ledger_, &runtime_->metrics());
      follower_ = std::make_unique<clients::FeedFollower>(
          [address = settings_.memory_store_address] {
            return memory::v1::MemoryStoreService::NewStub(rpc::CreateChannel(address));
          },
          erasures_.get(), runtime_, ErasureConsumer::FollowerOptions(&runtime_->metrics()));
      follower_->Start();
    }
    engine::Engine::Options options = settings_.engine;
    options.stats_listener = [this](const engine::EngineStats& stats) {
      metrics_.Publish(stats, cached_packs_->stats());
    };
    engine_ = std::make_unique<engine::Engine>(options, model_.model.get(), model_.tokenizer.get(),
                                               model_.format.get(), cached_packs_.get());
    if (follower_ != nullptr) {
      reporter_ = std::make_unique<clients::ErasureReporter>(
          erasure::v1::ErasureService::NewStub(rpc::CreateChannel(settings_.memory_store_address)),
          runtime_, &ledger_, [this](const clients::DueErasure& due) { return Describe(due); },
          clients::ErasureReporter::Options());
      reporter_->Start();
    }
    service_.Serve(engine_.get(), &model_, *modulation);
    runtime_->metrics()
        .GetGauge("dki_runtime_info", "The kernels and the kind of activations picked at start: 1.",
                  {{"runtime", model_.model->description()}})
        ->Set(1);
    runtime_->SetReady(true);
    log::Info("model loaded", {{"model", model_.model->config().name},
                               {"fingerprint", model_.model->config().fingerprint},
                               {"runtime", model_.model->description()}});
    if (*modulation != nullptr) {
      const bool is_known = settings_.modulation_file.empty();
      log::Info("memories are modulated by the question",
                {{"file", is_known ? std::string("the product's own") : settings_.modulation_file},
                 {"fingerprint", (*modulation)->fingerprint()},
                 {"rank", std::to_string((*modulation)->rank())},
                 {"trained", (*modulation)->is_identity() ? "no" : "yes"}});
    }
    return absl::OkStatus();
  }

  void Drain() override {
    if (engine_ != nullptr) engine_->StopBackground();
    if (reporter_ != nullptr) reporter_->Stop();
    if (follower_ != nullptr) follower_->Stop();
  }

 private:
  // What an erasure took from here; nullopt: an answer that may have attended to it is being
  // written.
  std::optional<std::vector<erasure::v1::ErasedItems>> Describe(const clients::DueErasure& due) {
    if (due.drop_contexts()) {
      ledger_.Removed(due.tenant_id(), due.position(), kPrefixStore,
                      engine_->DropContexts(due.tenant_id()));
    }
    // A request keeps the pack that it has to its end; who asks now gets none.
    const engine::EngineStats stats = engine_->stats();
    const bool is_idle = stats.running == 0 && stats.waiting == 0;
    std::vector<erasure::v1::ErasedItems> stores = {ledger_.Items(due, kPackStore),
                                                    ledger_.Items(due, kPrefixStore)};
    if (is_idle) return stores;
    const auto first =
        waiting_since_.try_emplace(due.erasure_id(), std::chrono::steady_clock::now()).first;
    if (std::chrono::steady_clock::now() - first->second < kPatience) return std::nullopt;
    // Never idle: then it cannot be said since when the last byte has been gone.
    for (erasure::v1::ErasedItems& store : stores) store.clear_gone_time();
    waiting_since_.erase(first);
    return stores;
  }

  const Settings settings_;
  rpc::ServiceRuntime* const runtime_;
  EngineMetrics metrics_;
  engine::LoadedModel model_;
  std::unique_ptr<KvPackSource> packs_;
  std::unique_ptr<engine::PackCache> cached_packs_;
  clients::ErasureLedger ledger_{RealClock()};
  std::unique_ptr<ErasureConsumer> erasures_;  // null: the feed is not followed
  std::unique_ptr<clients::FeedFollower> follower_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<clients::ErasureReporter> reporter_;  // its thread alone uses:
  std::map<std::string, std::chrono::steady_clock::time_point> waiting_since_;
  GenerationServiceImpl service_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildGenerationServer(
    const config::v1::GenerationServer& config, rpc::ServiceRuntime* runtime) {
  DKI_ASSIGN_OR_RETURN(Settings settings, ReadConfig(config));
  return std::make_unique<GenerationServer>(std::move(settings), runtime);
}

}  // namespace dki::generation
