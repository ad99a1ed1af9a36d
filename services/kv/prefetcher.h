// SPDX-License-Identifier: Apache-2.0
// Purpose: loads packs that will probably be asked for, on a thread of its own, behind all
// requests.
//   A short queue: what does not fit is dropped, since the request itself does the same work. One
//   that turns out not to be needed is cancelled: dropped, or stopped after its present forward
//   pass.
// Thread-safety: Offer is thread-safe; Start and Stop from one thread.
#pragma once

#include <deque>
#include <string>
#include <thread>
#include <utility>

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
  // False: dropped. `id` names it within the tenant for Cancel.
  bool Offer(PackRequest request, const std::string& id = "");
  // False: it has been loaded, or is not known.
  bool Cancel(const std::string& tenant_id, const std::string& id);
  // Until all that was accepted has been loaded, or Stop.
  void WaitUntilIdle();

 private:
  void Run();
  absl::Status GoOn();

  PackLoader* const loader_;
  const size_t max_waiting_;
  telemetry::Counter* const accepted_;
  telemetry::Counter* const dropped_;
  telemetry::Counter* const cancelled_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  struct Waiting {
    std::string id;
    PackRequest request;
  };
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  // Tenant and id of what is being loaded, until it is cancelled.
  std::pair<std::string, std::string> running_ ABSL_GUARDED_BY(mutex_);
  bool cancel_running_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::kv
