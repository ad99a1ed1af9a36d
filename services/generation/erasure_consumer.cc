// SPDX-License-Identifier: Apache-2.0
#include "services/generation/erasure_consumer.h"

#include <algorithm>

#include "libs/telemetry/log.h"

namespace dki::generation {

using memory::v1::FeedEntry;
using memory::v1::FollowFeedResponse;

ErasureConsumer::ErasureConsumer(engine::PackCache* packs, clients::ErasureLedger* ledger,
                                 telemetry::Metrics* metrics)
    : packs_(packs),
      ledger_(ledger),
      erased_(metrics->GetCounter("dki_generation_erased_blocks_total",
                                  "Blocks dropped because a memory was changed or deleted.")) {}

clients::FeedFollower::Options ErasureConsumer::FollowerOptions(telemetry::Metrics* metrics) {
  clients::FeedFollower::Options options;
  options.without_vectors = true;
  options.reports_erasures = true;
  options.connected = metrics->GetGauge("dki_generation_feed_connected",
                                        "1 while the change feed is being followed.");
  return options;
}

std::map<std::string, int64_t> ErasureConsumer::Positions() {
  packs_->SetFollowing(false);
  return positions_;
}

absl::Status ErasureConsumer::Apply(const FollowFeedResponse& response) {
  for (const FeedEntry& entry : response.entries()) {
    if (entry.tenant_id().empty()) {  // the whole backlog has been sent
      packs_->SetFollowing(true);
      continue;
    }
    const int64_t n_erased = ApplyEntry(entry);
    erased_->Increment(static_cast<double>(n_erased));
    if (n_erased > 0 && entry.kind() != FeedEntry::KIND_UPSERT) {
      ledger_->Removed(entry.tenant_id(), entry.position(), kPackStore, n_erased);
    }
    ledger_->Applied(entry.tenant_id(), entry.position());
    int64_t& position = positions_[entry.tenant_id()];
    position = std::max<int64_t>(position, entry.position());
  }
  return absl::OkStatus();
}

int64_t ErasureConsumer::ApplyEntry(const FeedEntry& entry) {
  switch (entry.kind()) {
    case FeedEntry::KIND_UPSERT:
      packs_->ReviveTenant(entry.tenant_id());
      // The first version: nothing can have been loaded of an older one.
      return entry.version() == 1 ? 0 : packs_->Erase(entry.tenant_id(), entry.memory_id());
    case FeedEntry::KIND_DELETE:
      return packs_->EraseForGood(entry.tenant_id(), entry.memory_id());
    case FeedEntry::KIND_ERASE_TENANT:
      return packs_->EraseForGood(entry.tenant_id(), "");
    default:
      return 0;
  }
}

absl::Status ErasureConsumer::StartOver(const absl::Status& reason) {
  log::Warning("the feed is another one; dropping all blocks", {{"error", ToString(reason)}});
  packs_->Clear();
  ledger_->Clear();
  positions_.clear();
  return absl::OkStatus();
}

}  // namespace dki::generation
