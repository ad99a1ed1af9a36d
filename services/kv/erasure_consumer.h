// SPDX-License-Identifier: Apache-2.0
// Purpose: erases the blocks of memories that were changed or deleted, as memory_store's change
//   feed tells it. Where it stands is kept beside the blocks, so that what was deleted while this
//   service was down is erased when it is back.
//   Until then such blocks lie there but cannot be served: a block's key holds the ids and texts of
//   its chain, and nobody asks for a deleted memory's.
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "libs/clients/erasure_ledger.h"
#include "libs/clients/feed_follower.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "services/kv/tombstone_kv_tier.h"

namespace dki::kv {

class ErasureConsumer final : public clients::FeedConsumer {
 public:
  // Of a worker's own tiers. `disk` keeps the positions; null: none is kept (there are no blocks
  // after a restart either).
  static ErasureConsumer Local(TombstoneKvTier* tier, kvcache::RocksDbKvTier* disk,
                               telemetry::Metrics* metrics);
  // Of the tier that workers share. Each worker erases there, for none knows which blocks another
  // one put since; positions are each worker's own. Without a disk it begins with the feed.
  static ErasureConsumer Remote(TombstoneKvTier* tier, kvcache::RocksDbKvTier* disk,
                                telemetry::Metrics* metrics);

  // What is erased is written down as items of these stores: their names for it, and the tiers that
  // count it.
  struct Reported {
    std::string store;
    const kvcache::KvTier* tier;
  };
  void SetLedger(clients::ErasureLedger* ledger, std::vector<Reported> stores);

  // How the feed is followed for it.
  static clients::FeedFollower::Options FollowerOptions(telemetry::Metrics* metrics);

  // Is told, before blocks are erased, whose tenant's something was deleted.
  void OnErasure(std::function<void(const std::string& tenant_id)> listener) {
    on_erasure_ = std::move(listener);
  }

  // Before it is followed.
  absl::Status ReadPositions();

  std::map<std::string, int64_t> Positions() override { return positions_; }
  absl::Status Apply(const memory::v1::FollowFeedResponse& response) override;
  // Nothing tells any more what of the other store's memories was deleted, so all blocks go.
  absl::Status StartOver(const absl::Status& reason) override;

 private:
  ErasureConsumer(TombstoneKvTier* tier, kvcache::RocksDbKvTier* disk, std::string mark_prefix,
                  telemetry::Counter* erasures)
      : tier_(tier), disk_(disk), mark_prefix_(std::move(mark_prefix)), erasures_(erasures) {}

  absl::Status WriteMarks(const std::map<std::string, int64_t>& reached);
  absl::Status ApplyAll(const memory::v1::FollowFeedResponse& response);
  absl::Status ApplyEntry(const memory::v1::FeedEntry& entry);
  // Erases for good and writes down what went.
  absl::Status EraseForGood(const memory::v1::FeedEntry& entry);
  // Counts it when it has been done.
  absl::Status Erased(absl::Status status);

  TombstoneKvTier* const tier_;
  kvcache::RocksDbKvTier* const disk_;
  const std::string mark_prefix_;
  telemetry::Counter* const erasures_;
  std::function<void(const std::string&)> on_erasure_ = [](const std::string&) {};
  clients::ErasureLedger* ledger_ = nullptr;
  std::vector<Reported> reported_;
  std::map<std::string, int64_t> positions_;
};

}  // namespace dki::kv
