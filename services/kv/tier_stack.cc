// SPDX-License-Identifier: Apache-2.0
#include "services/kv/tier_stack.h"

#include <utility>

#include "libs/kvcache/encrypted_kv_tier.h"
#include "libs/kvcache/in_memory_kv_tier.h"
#include "libs/kvcache/metrics_kv_tier.h"
#include "libs/kvcache/read_through_kv_tier.h"
#include "libs/kvcache/write_behind_kv_tier.h"
#include "libs/telemetry/log.h"
#include "libs/transfer/sealed_memory.h"

namespace dki::kv {
namespace {

constexpr size_t kMaxTombstones = 65536;
// Of blocks that wait for a slow medium.
constexpr int64_t kMaxWaitingBytes = int64_t{64} << 20;

// A tier that is erased by somebody else.
class ErasedElsewhere : public kvcache::KvTier {
 public:
  explicit ErasedElsewhere(kvcache::KvTier* tier) : tier_(tier) {}
  std::optional<kvcache::TierHit> Get(const kvcache::BlockIdentity& identity) override {
    return tier_->Get(identity);
  }
  std::optional<kvcache::TierPlace> Find(const kvcache::BlockIdentity& identity) const override {
    return tier_->Find(identity);
  }
  std::vector<std::optional<kvcache::TierPlace>> Locate(
      std::span<const kvcache::BlockIdentity> identities) const override {
    return tier_->Locate(identities);
  }
  void Put(const kvcache::StoredBlock& block) override { tier_->Put(block); }
  absl::Status Erase(const std::string&, const std::string&) override { return absl::OkStatus(); }
  kvcache::TierStats Stats() const override { return tier_->Stats(); }
  int64_t DropExpired() override { return tier_->DropExpired(); }
  std::vector<kvcache::BlockInfo> List(const std::string& tenant_id,
                                       const std::string& memory_id) const override {
    return tier_->List(tenant_id, memory_id);
  }

 private:
  kvcache::KvTier* const tier_;
};

telemetry::Counter* Dropped(telemetry::Metrics* metrics, const std::string& tier) {
  return metrics->GetCounter("dki_kv_tier_writes_dropped_total",
                             "Blocks not kept because too many waited to be written.",
                             {{"tier", tier}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<TierStack>> TierStack::Open(const Settings& settings,
                                                           const model::KvShape& shape,
                                                           kvcache::DataKeys* keys,
                                                           telemetry::Metrics* metrics) {
  std::unique_ptr<TierStack> stack(new TierStack(shape, keys, metrics));
  TierStack& s = *stack;
  s.ram_ = s.Add<kvcache::InMemoryKvTier>(
      settings.ram, shape, settings.handoff_socket.empty() ? 0 : transfer::MostSealedMemories());
  kvcache::KvTier* top = s.Add<kvcache::MetricsKvTier>(s.ram_, "ram", metrics);
  DKI_RETURN_IF_ERROR(s.AddDisk(settings));
  DKI_RETURN_IF_ERROR(s.AddRemote(settings));
  if (s.below_ram_ != nullptr) top = s.Add<kvcache::ReadThroughKvTier>(top, s.below_ram_);
  s.serving_ = s.Add<TombstoneKvTier>(top, kMaxTombstones);
  return stack;
}

absl::Status TierStack::AddDisk(const Settings& settings) {
  if (settings.disk_path.empty()) return absl::OkStatus();
  auto opened = kvcache::RocksDbKvTier::Open(
      {.path = settings.disk_path,
       .budget = settings.disk,
       .verify = Verifier(),
       .is_sealed = keys_ != nullptr,
       .scrub_pending = metrics_->GetGauge("dki_kv_disk_scrub_pending",
                                           "1 while erased bytes may be in its files.")});
  if (absl::IsUnavailable(opened.status())) {
    log::Error("no disk tier", {{"error", ToString(opened.status())}});
    metrics_->GetCounter("dki_kv_disk_unusable_total", "Starts without the disk tier.")
        ->Increment();
    return absl::OkStatus();
  }
  if (!opened.ok()) return Annotate(opened.status(), "disk_path");
  if ((*opened)->was_recreated()) {
    log::Error("the disk tier was damaged or of another format and is begun anew",
               {{"path", settings.disk_path}});
    metrics_->GetCounter("dki_kv_disk_recreated_total", "Damaged disk tiers begun anew.")
        ->Increment();
  }
  if (keys_ == nullptr)
    log::Warning("the disk tier is not encrypted: encryption_key_file is empty");
  disk_ = opened->get();
  tiers_.push_back(*std::move(opened));
  below_ram_ = Behind(disk_, "disk");
  return absl::OkStatus();
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): tiers_ owns it

absl::Status TierStack::AddRemote(const Settings& settings) {
  if (!settings.remote) return absl::OkStatus();
  pool_ = std::make_unique<kvcache::RedisPool>(settings.remote->pool);
  redis_ = Add<kvcache::RedisKvTier>(
      pool_.get(),
      kvcache::RedisKvTier::Options{
          .prefix = settings.remote->prefix, .ttl = settings.remote->ttl, .verify = Verifier()});
  const absl::Status checked = redis_->CheckServer();
  if (absl::IsUnavailable(checked)) {
    log::Warning("the remote tier is away", {{"error", ToString(checked)}});
  } else if (!checked.ok()) {
    return Annotate(checked, "remote.address");
  }
  remote_ = Add<TombstoneKvTier>(Behind(redis_, "remote"), kMaxTombstones);
  kvcache::KvTier* const shared = Add<ErasedElsewhere>(remote_);
  below_ram_ = below_ram_ == nullptr ? shared : Add<kvcache::ReadThroughKvTier>(below_ram_, shared);
  return absl::OkStatus();
}

kvcache::KvTier* TierStack::Behind(kvcache::KvTier* medium, const std::string& name) {
  kvcache::KvTier* tier = medium;
  if (keys_ != nullptr) {
    tier = Add<kvcache::EncryptedKvTier>(
        tier, keys_, [shape = shape_](std::string_view bytes, const kvcache::BlockIdentity& id) {
          return kvcache::VerifyBlock(bytes, id, shape);
        });
  }
  tier = Add<kvcache::MetricsKvTier>(tier, name, metrics_);
  return Add<kvcache::WriteBehindKvTier>(tier, kMaxWaitingBytes, Dropped(metrics_, name));
}

kvcache::BlockVerifier TierStack::Verifier() const {
  if (keys_ != nullptr) return kvcache::VerifySealed;
  return [shape = shape_](std::string_view bytes, const kvcache::BlockIdentity& identity) {
    return kvcache::VerifyBlock(bytes, identity, shape);
  };
}

TierStack::~TierStack() {
  while (!tiers_.empty()) tiers_.pop_back();
}

}  // namespace dki::kv
