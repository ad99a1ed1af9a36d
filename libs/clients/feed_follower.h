// SPDX-License-Identifier: Apache-2.0
// Purpose: follows memory_store's change feed on a thread of its own: streams from where the
//   consumer stands, reconnects with back-off, and has the consumer start over when the store says
//   that it is not the database that was followed (OUT_OF_RANGE).
//   Buffers of a connection keep what came through it until more has come, so after an erasure the
//   feed goes on through a new one: the texts of what was erased leave this process (P7).
// Thread-safety: Start once; Stop any time, from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/rpc/call_queue.h"
#include "libs/rpc/service_runtime.h"

namespace dki::clients {

// What is done with the feed. Between Start and Stop the follower's thread alone calls it.
class FeedConsumer {
 public:
  virtual ~FeedConsumer() = default;

  // Per tenant the last position that was applied. The next stream begins behind them.
  virtual std::map<std::string, int64_t> Positions() = 0;
  // An error ends the stream; what was not applied is sent again on the next one.
  virtual absl::Status Apply(const memory::v1::FollowFeedResponse& response) = 0;
  // The store is not the one that was followed, and positions mean nothing any more. `reason`: what
  // it said. An error that is returned is logged as the feed's loss, and the next stream begins at
  // Positions() either way.
  virtual absl::Status StartOver(const absl::Status& reason) = 0;
};

class FeedFollower {
 public:
  struct Options {
    // Between streams; doubled until one delivers something.
    std::chrono::milliseconds min_backoff{50};
    std::chrono::milliseconds max_backoff{1000};
    // How soon after an erasure, and after further ones, the connection is given up for another.
    std::chrono::milliseconds renew_after{5'000};
    // Entries come without their vectors.
    bool without_vectors = false;
    // Erasures then wait for this service's report (ErasureReporter).
    bool reports_erasures = false;
    // 1 while a stream delivers. Null: not kept.
    telemetry::Gauge* connected = nullptr;
    // Streams that were opened. Null: not counted.
    telemetry::Counter* connections = nullptr;
  };

  using Stub = memory::v1::MemoryStoreService::StubInterface;
  // A stub with a connection of its own. Any thread.
  using Connect = std::function<std::unique_ptr<Stub>()>;

  // `consumer` and `runtime` outlive it.
  FeedFollower(Connect connect, FeedConsumer* consumer, rpc::ServiceRuntime* runtime,
               Options options);
  ~FeedFollower() { Stop(); }

  void Start();
  void Stop();

  // Somebody waits for a change that may not have come yet: has the store send it at once. Returns
  // at once. Any thread, also before Start and after Stop.
  void Hurry();

 private:
  void Run();
  struct Followed {
    bool progressed = false;  // it delivered something
    bool erased = false;      // of that something was an erasure
    bool renews = false;      // it ended because the connection is to be given up
    absl::Status status;
  };
  // One stream, to its end, or at most as long as given.
  Followed FollowOnce(std::optional<std::chrono::milliseconds> at_most);
  std::shared_ptr<Stub> stub();
  void SetConnected(bool connected);
  // Makes the context known, so that Stop can cancel it. False when stopping.
  bool SetContext(grpc::ClientContext* context);
  // False when stopping.
  bool Pause(std::chrono::milliseconds duration);

  const Connect connect_;
  FeedConsumer* const consumer_;
  rpc::ServiceRuntime* const runtime_;
  const Options options_;

  Mutex mutex_;
  CondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Stub> stub_ ABSL_GUARDED_BY(mutex_);
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
  rpc::CallQueue wakes_{1};  // of Hurry
};

}  // namespace dki::clients
