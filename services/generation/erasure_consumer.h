// SPDX-License-Identifier: Apache-2.0
// Purpose: drops the K/V of memories that were changed or deleted from tier L1, as memory_store's
//   change feed tells it, and lets L1 keep the rest while the feed is being followed. L1 begins
//   empty, so nothing of where the feed stood is kept over a restart.
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "libs/clients/erasure_ledger.h"
#include "libs/clients/feed_follower.h"
#include "libs/engine/pack_cache.h"
#include "libs/telemetry/metrics.h"

namespace dki::generation {

// What this service reports of erasures: blocks of L1, and pages of conversations.
inline constexpr char kPackStore[] = "pack_cache";
inline constexpr char kPrefixStore[] = "prefix_cache";

class ErasureConsumer final : public clients::FeedConsumer {
 public:
  // What was deleted goes into the ledger. All outlive it.
  ErasureConsumer(engine::PackCache* packs, clients::ErasureLedger* ledger,
                  telemetry::Metrics* metrics);

  // How the feed is followed for it.
  static clients::FeedFollower::Options FollowerOptions(telemetry::Metrics* metrics);

  // Asked at the start of each stream: until it has caught up, L1 is told nothing.
  std::map<std::string, int64_t> Positions() override;
  absl::Status Apply(const memory::v1::FollowFeedResponse& response) override;
  absl::Status StartOver(const absl::Status& reason) override;

 private:
  // Returns how many blocks went.
  int64_t ApplyEntry(const memory::v1::FeedEntry& entry);

  engine::PackCache* const packs_;
  clients::ErasureLedger* const ledger_;
  telemetry::Counter* const erased_;
  std::map<std::string, int64_t> positions_;
};

}  // namespace dki::generation
