// SPDX-License-Identifier: Apache-2.0
#include "services/kv/server.h"

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "libs/base/clock.h"
#include "libs/clients/erasure_reporter.h"
#include "libs/clients/feed_follower.h"
#include "libs/engine/loaded_model.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"
#include "libs/transfer/handoff_giver.h"
#include "services/kv/erasure_consumer.h"
#include "services/kv/kv_service.h"
#include "services/kv/operator_api.h"
#include "services/kv/pack_loader.h"
#include "services/kv/prefetcher.h"
#include "services/kv/store_data_keys.h"
#include "services/kv/sweeper.h"
#include "services/kv/tier_stack.h"

namespace dki::kv {
namespace {

constexpr size_t kMaxWaitingPrefetches = 16;
constexpr std::chrono::seconds kSweepPeriod{10};
// As in erasure.proto.
constexpr char kRamStore[] = "kv_ram";
constexpr char kDiskStore[] = "kv_disk";
constexpr char kRemoteStore[] = "kv_remote";

using memory::v1::MemoryStoreService;

// Everything that needs the model's shape.
class Graph {
 public:
  Graph(const Settings& settings, engine::LoadedModel model, std::unique_ptr<StoreDataKeys> keys,
        std::unique_ptr<TierStack> tiers, rpc::ServiceRuntime* runtime)
      : model_(std::move(model)),
        keys_(std::move(keys)),
        tiers_(std::move(tiers)),
        loader_(model_.model.get(), model_.format.get(), tiers_->serving(), &runtime->metrics(),
                {.costs = settings.always_load ? nullptr : &costs_,
                 .block_format = settings.block_format,
                 .drift = settings.drift}),
        prefetcher_(&loader_, &runtime->metrics(), kMaxWaitingPrefetches),
        sweeper_(tiers_->serving(), kSweepPeriod),
        operators_(Operators()),
        erasures_(ErasureConsumer::Local(tiers_->serving(), tiers_->disk(), &runtime->metrics())),
        ledger_(RealClock()),
        follower_(Feed(settings), &erasures_, runtime,
                  ErasureConsumer::FollowerOptions(&runtime->metrics())),
        reporter_(
            erasure::v1::ErasureService::NewStub(rpc::CreateChannel(settings.memory_store_address)),
            runtime, &ledger_, [this](const clients::DueErasure& due) { return Describe(due); },
            clients::ErasureReporter::Options()) {
    std::vector<ErasureConsumer::Reported> stores = {{kRamStore, tiers_->ram()}};
    if (tiers_->disk() != nullptr) stores.push_back({kDiskStore, tiers_->disk()});
    erasures_.SetLedger(&ledger_, std::move(stores));
    if (keys_ != nullptr) {
      erasures_.OnErasure([this](const std::string& tenant_id) { keys_->Forget(tenant_id); });
    }
    if (tiers_->remote() == nullptr) return;
    remote_erasures_.emplace(
        ErasureConsumer::Remote(tiers_->remote(), tiers_->disk(), &runtime->metrics()));
    remote_erasures_->SetLedger(&remote_ledger_, {{kRemoteStore, tiers_->remote_server()}});
    remote_follower_.emplace(Feed(settings), &*remote_erasures_, runtime,
                             clients::FeedFollower::Options{.without_vectors = true});
  }

  absl::Status Start() {
    DKI_RETURN_IF_ERROR(loader_.WarmUp());
    prefetcher_.Start();
    DKI_RETURN_IF_ERROR(erasures_.ReadPositions());
    if (remote_erasures_) DKI_RETURN_IF_ERROR(remote_erasures_->ReadPositions());
    follower_.Start();
    sweeper_.Start();
    if (remote_follower_) remote_follower_->Start();
    reporter_.Start();
    return absl::OkStatus();
  }
  void Stop() {
    prefetcher_.Stop();
    reporter_.Stop();
    follower_.Stop();
    sweeper_.Stop();
    if (remote_follower_) remote_follower_->Stop();
  }
  KvService::Parts parts() {
    return {.model_fingerprint = model_.model->config().kv_fingerprint,
            .loader = &loader_,
            .prefetcher = &prefetcher_,
            .ram = tiers_->ram(),
            .disk = tiers_->disk(),
            .remote = tiers_->remote_server(),
            .operators = &operators_};
  }

 private:
  OperatorApi::Parts Operators() {
    OperatorApi::Parts parts{.serving = tiers_->serving(),
                             .remote = tiers_->remote(),
                             .tiers = {{kvcache::TierName::kRam, tiers_->ram()}}};
    if (tiers_->disk() != nullptr) {
      parts.tiers.emplace_back(kvcache::TierName::kDisk, tiers_->disk());
    }
    if (tiers_->remote() != nullptr) {
      parts.tiers.emplace_back(kvcache::TierName::kRemote, tiers_->remote_server());
    }
    return parts;
  }
  static clients::FeedFollower::Connect Feed(const Settings& settings) {
    return [address = settings.memory_store_address] {
      return MemoryStoreService::NewStub(rpc::CreateChannel(address));
    };
  }
  // What an erasure took from the tiers; nullopt: bytes of it are still there.
  std::optional<std::vector<erasure::v1::ErasedItems>> Describe(const clients::DueErasure& due) {
    std::vector<erasure::v1::ErasedItems> stores = {ledger_.Items(due, kRamStore)};
    if (remote_erasures_) {
      if (!remote_ledger_.HasApplied(due)) return std::nullopt;
      stores.push_back(remote_ledger_.Items(due, kRemoteStore));
    }
    if (tiers_->disk() == nullptr) return stores;
    erasure::v1::ErasedItems disk = ledger_.Items(due, kDiskStore);
    if (disk.items() > 0) {
      // Its files keep the bytes until RocksDB has rewritten them.
      const auto& unreachable = disk.unreachable_time();
      const std::optional<absl::Time> gone = tiers_->disk()->GoneTime(
          absl::FromUnixSeconds(unreachable.seconds()) + absl::Nanoseconds(unreachable.nanos()));
      if (!gone) return std::nullopt;
      *disk.mutable_gone_time() = clients::ToTimestamp(*gone);
    }
    stores.push_back(std::move(disk));
    return stores;
  }

  engine::LoadedModel model_;
  std::unique_ptr<StoreDataKeys> keys_;  // null: nothing is encrypted
  std::unique_ptr<TierStack> tiers_;
  kvcache::CostModel costs_;
  PackLoader loader_;
  Prefetcher prefetcher_;
  Sweeper sweeper_;
  OperatorApi operators_;
  ErasureConsumer erasures_;
  clients::ErasureLedger ledger_;
  clients::ErasureLedger remote_ledger_{RealClock()};
  clients::FeedFollower follower_;
  clients::ErasureReporter reporter_;
  // Of the remote tier, which may be away for long.
  std::optional<ErasureConsumer> remote_erasures_;
  std::optional<clients::FeedFollower> remote_follower_;
};

// Null: none is configured, or it cannot be had: then blocks are streamed.
std::unique_ptr<transfer::HandoffGiver> StartHandoff(const std::string& path) {
  if (path.empty()) return nullptr;
  auto giver = transfer::HandoffGiver::Start(path);
  if (giver.ok()) return *std::move(giver);
  log::Error("no side socket", {{"path", path}, {"error", ToString(giver.status())}});
  return nullptr;
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
    DKI_ASSIGN_OR_RETURN(std::unique_ptr<StoreDataKeys> keys, LoadKeys());
    DKI_ASSIGN_OR_RETURN(auto tiers, TierStack::Open(settings_, model->model->kv_shape(),
                                                     keys.get(), &runtime_->metrics()));
    graph_ = std::make_unique<Graph>(settings_, *std::move(model), std::move(keys),
                                     std::move(tiers), runtime_);
    DKI_RETURN_IF_ERROR(graph_->Start());
    handoff_ = StartHandoff(settings_.handoff_socket);
    KvService::Parts parts = graph_->parts();
    parts.handoff = handoff_.get();
    service_.Serve(std::move(parts));
    runtime_->SetReady(true);
    return absl::OkStatus();
  }

  void Drain() override {
    if (graph_ != nullptr) graph_->Stop();
  }

 private:
  // Null: no encryption is configured.
  absl::StatusOr<std::unique_ptr<StoreDataKeys>> LoadKeys() {
    if (settings_.encryption_key_file.empty()) return nullptr;
    auto key = SecretKey::Load(settings_.encryption_key_file);
    if (!key.ok()) return Annotate(key.status(), "encryption_key_file");
    return std::make_unique<StoreDataKeys>(
        memory::v1::DataKeyService::NewStub(rpc::CreateChannel(settings_.memory_store_address)),
        *std::move(key), runtime_, StoreDataKeys::Options{.lifetime = settings_.data_key_lifetime});
  }

  const Settings settings_;
  rpc::ServiceRuntime* const runtime_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<transfer::HandoffGiver> handoff_;
  KvService service_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildKvServer(
    const config::v1::KvServer& config, rpc::ServiceRuntime* runtime) {
  DKI_ASSIGN_OR_RETURN(Settings settings, ReadConfig(config));
  return std::make_unique<KvServer>(std::move(settings), runtime);
}

}  // namespace dki::kv
