// SPDX-License-Identifier: Apache-2.0
// Purpose: keeps TenantIndexes up to date with memory_store's change feed.
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "libs/clients/erasure_ledger.h"
#include "libs/clients/feed_follower.h"
#include "services/retrieval/tenant_indexes.h"

namespace dki::retrieval {

// What this service reports of erasures: memories that left the indexes.
inline constexpr char kErasureStore[] = "index_entries";

class IndexConsumer final : public clients::FeedConsumer {
 public:
  // Makes the runtime ready once the backlog has been applied. A lost connection does not make it
  // unready again: what is indexed can still be searched.
  // What was removed goes into the ledger.
  IndexConsumer(TenantIndexes* indexes, clients::ErasureLedger* ledger,
                rpc::ServiceRuntime* runtime);

  // How the feed is followed for it.
  static clients::FeedFollower::Options FollowerOptions(telemetry::Metrics* metrics);

  std::map<std::string, int64_t> Positions() override { return indexes_->Positions(); }
  // Always OK.
  absl::Status Apply(const memory::v1::FollowFeedResponse& response) override;
  // Not ready until the indexes are built anew; returns `reason`.
  absl::Status StartOver(const absl::Status& reason) override;

 private:
  TenantIndexes* const indexes_;
  clients::ErasureLedger* const ledger_;
  rpc::ServiceRuntime* const runtime_;
  telemetry::Counter* const entries_;
};

}  // namespace dki::retrieval
