// SPDX-License-Identifier: Apache-2.0
// Purpose: keeps TenantIndexes up to date with memory_store's change feed, on a thread of its own:
//   streams from where the indexes stand, reconnects with back-off, and starts over when the store
//   says that it is not the database that was followed (OUT_OF_RANGE).
// Thread-safety: Start once, Stop any time from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <thread>

#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/rpc/service_runtime.h"
#include "services/retrieval/tenant_indexes.h"

namespace dki::retrieval {

class FeedFollower {
 public:
  struct Options {
    std::chrono::milliseconds min_backoff{50};
    std::chrono::milliseconds max_backoff{1000};
  };

  // Makes the runtime ready once the backlog has been applied. A lost connection does not make it
  // unready again: what is indexed can still be searched.
  FeedFollower(std::unique_ptr<memory::v1::MemoryStoreService::StubInterface> stub,
               TenantIndexes* indexes, rpc::ServiceRuntime* runtime, Options options);
  ~FeedFollower();  // stops

  void Start();
  void Stop();

 private:
  void Run();
  // One stream, to its end. `progressed`: it delivered something.
  absl::Status FollowOnce(bool* progressed);
  void ApplyAll(const memory::v1::FollowFeedResponse& response);
  // Makes the context known, so that Stop can cancel it. False when stopping.
  bool SetContext(grpc::ClientContext* context);
  // False when stopping.
  bool Pause(std::chrono::milliseconds duration);

  const std::unique_ptr<memory::v1::MemoryStoreService::StubInterface> stub_;
  TenantIndexes* const indexes_;
  rpc::ServiceRuntime* const runtime_;
  const Options options_;
  telemetry::Gauge* const connected_;
  telemetry::Counter* const entries_;
  telemetry::Counter* const connections_;

  Mutex mutex_;
  CondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace dki::retrieval
