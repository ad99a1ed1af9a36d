// SPDX-License-Identifier: Apache-2.0
#include "services/kv/server.h"

#include <optional>
#include <utility>
#include <vector>

#include "libs/base/clock.h"
#include "libs/clients/erasure_reporter.h"
#include "libs/clients/feed_follower.h"
#include "libs/engine/loaded_model.h"
#include "libs/kvcache/in_memory_kv_tier.h"
#include "libs/kvcache/metrics_kv_tier.h"
#include "libs/kvcache/read_through_kv_tier.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"
#include "services/kv/erasure_consumer.h"
#include "services/kv/kv_service.h"
#include "services/kv/pack_loader.h"
#include "services/kv/prefetcher.h"
#include "services/kv/tombstone_kv_tier.h"

namespace dki::kv {
namespace {

constexpr size_t kMaxTombstones = 65536;
constexpr size_t kMaxWaitingPrefetches = 16;
// As in erasure.proto.
constexpr char kRamStore[] = "kv_ram";
constexpr char kDiskStore[] = "kv_disk";

using memory::v1::MemoryStoreService;

// Everything that needs the model's shape.
class Graph {
 public:
  Graph(const Settings& settings, engine::LoadedModel model,
        std::unique_ptr<kvcache::RocksDbKvTier> disk, rpc::ServiceRuntime* runtime)
      : model_(std::move(model)),
        ram_(settings.ram, model_.model->kv_shape()),
        metered_ram_(&ram_, "ram", &runtime->metrics()),
        disk_(std::move(disk)),
        metered_disk_(disk_ == nullptr ? nullptr
                                       : std::make_unique<kvcache::MetricsKvTier>(
                                             disk_.get(), "disk", &runtime->metrics())),
        both_(disk_ == nullptr ? nullptr
                               : std::make_unique<kvcache::ReadThroughKvTier>(&metered_ram_,
                                                                              metered_disk_.get())),
        tier_(both_ == nullptr ? static_cast<kvcache::KvTier*>(&metered_ram_) : both_.get(),
              kMaxTombstones),
        loader_(model_.model.get(), model_.format.get(), &tier_, &runtime->metrics(),
                PackLoader::Options()),
        prefetcher_(&loader_, &runtime->metrics(), kMaxWaitingPrefetches),
        erasures_(&tier_, disk_.get(), &runtime->metrics()),
        ledger_(RealClock()),
        follower_(MemoryStoreService::NewStub(rpc::CreateChannel(settings.memory_store_address)),
                  &erasures_, runtime, ErasureConsumer::FollowerOptions(&runtime->metrics())),
        reporter_(
            erasure::v1::ErasureService::NewStub(rpc::CreateChannel(settings.memory_store_address)),
            runtime, &ledger_, [this](const clients::DueErasure& due) { return Describe(due); },
            clients::ErasureReporter::Options()) {
    std::vector<ErasureConsumer::Reported> stores = {{kRamStore, &ram_}};
    if (disk_ != nullptr) stores.push_back({kDiskStore, disk_.get()});
    erasures_.SetLedger(&ledger_, std::move(stores));
  }

  absl::Status Start() {
    prefetcher_.Start();
    DKI_RETURN_IF_ERROR(erasures_.ReadPositions());
    follower_.Start();
    reporter_.Start();
    return absl::OkStatus();
  }
  void Stop() {
    prefetcher_.Stop();
    reporter_.Stop();
    follower_.Stop();
  }
  KvService::Parts parts() {
    return {.model_fingerprint = model_.model->config().fingerprint,
            .loader = &loader_,
            .prefetcher = &prefetcher_,
            .ram = &ram_,
            .disk = disk_.get()};
  }

 private:
  // What an erasure took from the tiers; nullopt: bytes of it are still there.
  std::optional<std::vector<erasure::v1::ErasedItems>> Describe(
      const clients::DueErasure& due) const {
    std::vector<erasure::v1::ErasedItems> stores = {ledger_.Items(due, kRamStore)};
    if (disk_ != nullptr) {
      stores.push_back(ledger_.Items(due, kDiskStore));
      // Its files keep the bytes until RocksDB rewrites them.
      if (stores.back().items() > 0) stores.back().clear_gone_time();
    }
    return stores;
  }

  engine::LoadedModel model_;
  kvcache::InMemoryKvTier ram_;
  kvcache::MetricsKvTier metered_ram_;
  std::unique_ptr<kvcache::RocksDbKvTier> disk_;
  std::unique_ptr<kvcache::MetricsKvTier> metered_disk_;
  std::unique_ptr<kvcache::ReadThroughKvTier> both_;
  TombstoneKvTier tier_;
  PackLoader loader_;
  Prefetcher prefetcher_;
  ErasureConsumer erasures_;
  clients::ErasureLedger ledger_;
  clients::FeedFollower follower_;
  clients::ErasureReporter reporter_;
};

// Null: none is configured, or the disk does not work: then blocks are kept in RAM alone.
absl::StatusOr<std::unique_ptr<kvcache::RocksDbKvTier>> OpenDisk(const Settings& settings,
                                                                 const model::KvShape& shape,
                                                                 telemetry::Metrics* metrics) {
  if (settings.disk_path.empty()) return nullptr;
  auto opened = kvcache::RocksDbKvTier::Open(
      {.path = settings.disk_path, .budget = settings.disk, .shape = shape});
  if (absl::IsUnavailable(opened.status())) {
    log::Error("no disk tier", {{"error", ToString(opened.status())}});
    metrics->GetCounter("dki_kv_disk_unusable_total", "Starts without the disk tier.")->Increment();
    return nullptr;
  }
  if (!opened.ok()) return Annotate(opened.status(), "disk_path");
  if ((*opened)->was_recreated()) {
    log::Error("the disk tier was damaged and is begun anew", {{"path", settings.disk_path}});
    metrics->GetCounter("dki_kv_disk_recreated_total", "Damaged disk tiers begun anew.")
        ->Increment();
  }
  return opened;
}

class KvServer : public rpc::ServiceInstance {
 public:
  KvServer(Settings settings, rpc::ServiceRuntime* runtime)
      : settings_(std::move(settings)), runtime_(runtime), service_(runtime) {}

  std::vector<grpc::Service*> services() override { return {&service_}; }

  // The listener is up and says NOT_SERVING meanwhile (about a second).
  absl::Status Start() override {
    auto model = engine::LoadedModel::Load(settings_.model_path, settings_.model);
    if (!model.ok()) return Annotate(model.status(), "runtime.model");
    runtime_->metrics()
        .GetGauge("dki_runtime_info", "The kernels and the kind of activations picked at start: 1.",
                  {{"runtime", model->model->description()}})
        ->Set(1);
    log::Info("model loaded", {{"model", model->model->config().name},
                               {"fingerprint", model->model->config().fingerprint},
                               {"runtime", model->model->description()}});
    DKI_ASSIGN_OR_RETURN(auto disk,
                         OpenDisk(settings_, model->model->kv_shape(), &runtime_->metrics()));
    graph_ = std::make_unique<Graph>(settings_, *std::move(model), std::move(disk), runtime_);
    DKI_RETURN_IF_ERROR(graph_->Start());
    service_.Serve(graph_->parts());
    runtime_->SetReady(true);
    return absl::OkStatus();
  }

  void Drain() override {
    if (graph_ != nullptr) graph_->Stop();
  }

 private:
  const Settings settings_;
  rpc::ServiceRuntime* const runtime_;
  std::unique_ptr<Graph> graph_;
  KvService service_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildKvServer(
    const config::v1::KvServer& config, rpc::ServiceRuntime* runtime) {
  DKI_ASSIGN_OR_RETURN(Settings settings, ReadConfig(config));
  return std::make_unique<KvServer>(std::move(settings), runtime);
}

}  // namespace dki::kv
