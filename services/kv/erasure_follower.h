// SPDX-License-Identifier: Apache-2.0
// Purpose: erases the blocks of memories that were changed or deleted, by following memory_store's
//   change feed on a thread of its own. Where it stands is kept beside the blocks, so that what was
//   deleted while this service was down is erased when it is back.
//   Until then such blocks lie there but cannot be served: a block's key holds the ids and texts of
//   its chain, and nobody asks for a deleted memory's.
// Thread-safety: Start once; Stop any time, from any thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "libs/rpc/service_runtime.h"
#include "services/kv/tombstone_kv_tier.h"

namespace dki::kv {

class ErasureFollower {
 public:
  struct Options {
    std::chrono::milliseconds min_backoff{50};
    std::chrono::milliseconds max_backoff{1000};
  };
  // `disk` keeps the positions; null: none is kept (there are no blocks after a restart either).
  ErasureFollower(std::unique_ptr<memory::v1::MemoryStoreService::StubInterface> stub,
                  TombstoneKvTier* tier, kvcache::RocksDbKvTier* disk, rpc::ServiceRuntime* runtime,
                  Options options);
  ~ErasureFollower() { Stop(); }

  // Reads the positions.
  absl::Status Start();
  void Stop();

 private:
  using Positions = std::map<std::string, int64_t>;

  void Run();
  // One stream, to its end. `progressed`: something was applied.
  absl::Status FollowOnce(bool* progressed);
  absl::Status Apply(const memory::v1::FollowFeedResponse& response);
  absl::Status ApplyEntry(const memory::v1::FeedEntry& entry);
  // Counts it when it has been done.
  absl::Status Erased(absl::Status status);
  // The store is not the one that was followed: nothing tells any more what of its memories was
  // deleted, so all blocks go.
  absl::Status StartOver();
  // False when stopping.
  bool SetContext(grpc::ClientContext* context);
  bool Pause(std::chrono::milliseconds duration);

  const std::unique_ptr<memory::v1::MemoryStoreService::StubInterface> stub_;
  TombstoneKvTier* const tier_;
  kvcache::RocksDbKvTier* const disk_;
  rpc::ServiceRuntime* const runtime_;
  const Options options_;
  telemetry::Gauge* const connected_;
  telemetry::Counter* const erasures_;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Positions positions_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dki::kv
