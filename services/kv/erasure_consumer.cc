// SPDX-License-Identifier: Apache-2.0
#include "services/kv/erasure_consumer.h"

#include <algorithm>

#include "libs/telemetry/log.h"

namespace dki::kv {

using memory::v1::FeedEntry;
using memory::v1::FollowFeedResponse;

ErasureConsumer::ErasureConsumer(TombstoneKvTier* tier, kvcache::RocksDbKvTier* disk,
                                 telemetry::Metrics* metrics)
    : tier_(tier),
      disk_(disk),
      erasures_(metrics->GetCounter("dki_kv_erasures_total",
                                    "Memories and tenants whose blocks were erased.")) {}

void ErasureConsumer::SetLedger(clients::ErasureLedger* ledger, std::vector<Reported> stores) {
  ledger_ = ledger;
  reported_ = std::move(stores);
}

clients::FeedFollower::Options ErasureConsumer::FollowerOptions(telemetry::Metrics* metrics) {
  clients::FeedFollower::Options options;
  options.without_vectors = true;
  options.reports_erasures = true;
  options.connected =
      metrics->GetGauge("dki_kv_feed_connected", "1 while the change feed is being followed.");
  return options;
}

absl::Status ErasureConsumer::ReadPositions() {
  if (disk_ == nullptr) return absl::OkStatus();
  DKI_ASSIGN_OR_RETURN(positions_, disk_->ReadMarks());
  if (ledger_ != nullptr) {
    for (const auto& [tenant_id, position] : positions_) ledger_->Applied(tenant_id, position);
  }
  return absl::OkStatus();
}

absl::Status ErasureConsumer::Apply(const FollowFeedResponse& response) {
  const absl::Status applied = ApplyAll(response);
  return applied.ok() ? applied : Unavailable("erasing: %s", ToString(applied));
}

absl::Status ErasureConsumer::ApplyAll(const FollowFeedResponse& response) {
  std::map<std::string, int64_t> reached;
  for (const FeedEntry& entry : response.entries()) {
    if (entry.tenant_id().empty()) continue;  // the whole backlog has been sent
    DKI_RETURN_IF_ERROR(ApplyEntry(entry));
    int64_t& position = reached[entry.tenant_id()];
    position = std::max<int64_t>(position, entry.position());
  }
  // After the erasures, which are durable by now.
  if (disk_ != nullptr) DKI_RETURN_IF_ERROR(disk_->WriteMarks(reached));
  for (const auto& [tenant_id, position] : reached) {
    positions_[tenant_id] = position;
    if (ledger_ != nullptr) ledger_->Applied(tenant_id, position);
  }
  return absl::OkStatus();
}

absl::Status ErasureConsumer::ApplyEntry(const FeedEntry& entry) {
  switch (entry.kind()) {
    case FeedEntry::KIND_UPSERT:
      tier_->ReviveTenant(entry.tenant_id());
      // The first version: nothing can have been computed of an older one.
      if (entry.version() == 1) return absl::OkStatus();
      return Erased(tier_->Erase(entry.tenant_id(), entry.memory_id()));
    case FeedEntry::KIND_DELETE:
      return EraseForGood(entry);
    case FeedEntry::KIND_ERASE_TENANT:
      return EraseForGood(entry);
    default:
      return absl::OkStatus();
  }
}

absl::Status ErasureConsumer::EraseForGood(const FeedEntry& entry) {
  // (A tenant's erasure names no memory.) Nobody else erases, so the counters tell what went.
  std::vector<int64_t> before;
  for (const Reported& reported : reported_) before.push_back(reported.tier->Stats().erased);
  DKI_RETURN_IF_ERROR(Erased(tier_->EraseForGood(entry.tenant_id(), entry.memory_id())));
  for (size_t i = 0; i < reported_.size(); ++i) {
    const int64_t n_erased = reported_[i].tier->Stats().erased - before[i];
    if (n_erased > 0) {
      ledger_->Removed(entry.tenant_id(), entry.position(), reported_[i].store, n_erased);
    }
  }
  return absl::OkStatus();
}

absl::Status ErasureConsumer::Erased(absl::Status status) {
  if (status.ok()) erasures_->Increment();
  return status;
}

absl::Status ErasureConsumer::StartOver(const absl::Status& reason) {
  log::Warning("the feed is another one; erasing all blocks", {{"error", ToString(reason)}});
  for (const auto& [tenant_id, position] : positions_) {
    DKI_RETURN_IF_ERROR(tier_->Erase(tenant_id, ""));
  }
  if (disk_ != nullptr) DKI_RETURN_IF_ERROR(disk_->ClearMarks());
  positions_.clear();
  if (ledger_ != nullptr) ledger_->Clear();
  return absl::OkStatus();
}

}  // namespace dki::kv
