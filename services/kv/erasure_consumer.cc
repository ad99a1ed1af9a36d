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

clients::FeedFollower::Options ErasureConsumer::FollowerOptions(telemetry::Metrics* metrics) {
  clients::FeedFollower::Options options;
  options.without_vectors = true;
  options.connected =
      metrics->GetGauge("dki_kv_feed_connected", "1 while the change feed is being followed.");
  return options;
}

absl::Status ErasureConsumer::ReadPositions() {
  if (disk_ == nullptr) return absl::OkStatus();
  DKI_ASSIGN_OR_RETURN(positions_, disk_->ReadMarks());
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
  for (const auto& [tenant_id, position] : reached) positions_[tenant_id] = position;
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
      return Erased(tier_->EraseForGood(entry.tenant_id(), entry.memory_id()));
    case FeedEntry::KIND_ERASE_TENANT:
      return Erased(tier_->EraseForGood(entry.tenant_id(), ""));
    default:
      return absl::OkStatus();
  }
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
  return absl::OkStatus();
}

}  // namespace dki::kv
