// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/index_consumer.h"

#include "libs/telemetry/log.h"

namespace dki::retrieval {

using memory::v1::FeedEntry;
using memory::v1::FollowFeedResponse;

IndexConsumer::IndexConsumer(TenantIndexes* indexes, clients::ErasureLedger* ledger,
                             rpc::ServiceRuntime* runtime)
    : indexes_(indexes),
      ledger_(ledger),
      runtime_(runtime),
      entries_(runtime->metrics().GetCounter("dki_retrieval_feed_entries_total",
                                             "Entries of the change feed applied.")) {}

clients::FeedFollower::Options IndexConsumer::FollowerOptions(telemetry::Metrics* metrics) {
  clients::FeedFollower::Options options;
  options.reports_erasures = true;
  options.connected = metrics->GetGauge("dki_retrieval_feed_connected",
                                        "1 while the change feed is being followed.");
  options.connections = metrics->GetCounter("dki_retrieval_feed_connections_total",
                                            "Times that the change feed was opened.");
  return options;
}

absl::Status IndexConsumer::Apply(const FollowFeedResponse& response) {
  entries_->Increment(response.entries_size());
  for (const FeedEntry& entry : response.entries()) {
    if (entry.kind() == FeedEntry::KIND_CAUGHT_UP && entry.tenant_id().empty()) {
      // The backlog of all tenants has been sent.
      runtime_->SetReady(true);
      indexes_->SetCaughtUp();
    } else {
      const int64_t n_removed = indexes_->Apply(entry);
      if (n_removed > 0) {
        ledger_->Removed(entry.tenant_id(), entry.position(), kErasureStore, n_removed);
      }
      ledger_->Applied(entry.tenant_id(), entry.position());
    }
  }
  return absl::OkStatus();
}

absl::Status IndexConsumer::StartOver(const absl::Status& reason) {
  log::Warning("the feed is another one; building the indexes anew", {{"error", ToString(reason)}});
  runtime_->SetReady(false);
  indexes_->Reset();
  ledger_->Clear();
  return reason;
}

}  // namespace dki::retrieval
