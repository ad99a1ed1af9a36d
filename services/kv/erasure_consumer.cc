// SPDX-License-Identifier: Apache-2.0
#include "services/kv/erasure_consumer.h"

#include <algorithm>

#include "libs/telemetry/log.h"

namespace dki::kv {

using memory::v1::FeedEntry;
using memory::v1::FollowFeedResponse;

namespace {

// No tenant's name begins like this.
constexpr std::string_view kRemoteMarks = "@remote/";

}  // namespace

ErasureConsumer ErasureConsumer::Local(TombstoneKvTier* tier, kvcache::RocksDbKvTier* disk,
                                       telemetry::Metrics* metrics) {
  return {tier, disk, "",
          metrics->GetCounter("dki_kv_erasures_total",
                              "Memories and tenants whose blocks were erased.")};
}

ErasureConsumer ErasureConsumer::Remote(TombstoneKvTier* tier, kvcache::RocksDbKvTier* disk,
                                        telemetry::Metrics* metrics) {
  return {tier, disk, std::string(kRemoteMarks),
          metrics->GetCounter("dki_kv_remote_erasures_total",
                              "Memories and tenants whose blocks were erased in the remote tier.")};
}

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
  DKI_ASSIGN_OR_RETURN(const auto marks, disk_->ReadMarks());
  for (const auto& [name, position] : marks) {
    const bool is_remote = name.starts_with(kRemoteMarks);
    if (is_remote == mark_prefix_.empty()) continue;
    const std::string tenant_id = name.substr(mark_prefix_.size());
    positions_[tenant_id] = position;
    if (ledger_ != nullptr) ledger_->Applied(tenant_id, position);
  }
  return absl::OkStatus();
}

absl::Status ErasureConsumer::WriteMarks(const std::map<std::string, int64_t>& reached) {
  if (disk_ == nullptr) return absl::OkStatus();
  std::map<std::string, int64_t> marks;
  for (const auto& [tenant_id, position] : reached) marks[mark_prefix_ + tenant_id] = position;
  return disk_->WriteMarks(marks);
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
  DKI_RETURN_IF_ERROR(WriteMarks(reached));
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
      on_erasure_(entry.tenant_id());
      return EraseForGood(entry);
    case FeedEntry::KIND_ERASE_TENANT:
      on_erasure_(entry.tenant_id());
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
  // All marks, the other consumer's too: after a restart that one erases again from the beginning.
  if (disk_ != nullptr) DKI_RETURN_IF_ERROR(disk_->ClearMarks());
  positions_.clear();
  if (ledger_ != nullptr) ledger_->Clear();
  return absl::OkStatus();
}

}  // namespace dki::kv
