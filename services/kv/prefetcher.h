// SPDX-License-Identifier: Apache-2.0
// Purpose: loads packs that will probably be asked for, on a thread of its own, behind all
// requests.
//   A short queue: what does not fit is dropped, since the request itself does the same work.
// Thread-safety: Offer is thread-safe; Start and Stop from one thread.
#pragma once

#include <deque>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/telemetry/metrics.h"
#include "services/kv/pack_loader.h"

namespace dki::kv {

class Prefetcher {
 public:
  Prefetcher(PackLoader* loader, telemetry::Metrics* metrics, size_t max_waiting);
  ~Prefetcher() { Stop(); }

  void Start();
  // Ends what is running after its present forward pass, drops the rest.
  void Stop();
  // False: dropped.
  bool Offer(PackRequest request);
  // Until all that was accepted has been loaded, or Stop.
  void WaitUntilIdle();

 private:
  void Run();
  absl::Status GoOn();

  PackLoader* const loader_;
  const size_t max_waiting_;
  telemetry::Counter* const accepted_;
  telemetry::Counter* const dropped_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<PackRequest> waiting_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dki::kv
