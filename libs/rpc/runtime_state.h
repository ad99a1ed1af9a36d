// SPDX-License-Identifier: Apache-2.0
// Purpose: what ServiceRuntime holds. Internal to libs/rpc. Thread-safety: thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/rpc/service_runtime.h"

namespace dki::rpc {

struct ServiceRuntime::State {
  State(Options options, ClusterKey cluster_key)
      : options(std::move(options)), cluster_key(std::move(cluster_key)) {}

  // Hears of readiness: at once with its present value, then at each change. nullptr: nobody.
  void SetReadyListener(std::function<void(bool)> listener);
  // From now on never ready again.
  void BeginDrain();

  const Options options;
  const ClusterKey cluster_key;
  telemetry::Metrics metrics;
  std::atomic<int> running_calls{0};

  Mutex mutex;
  KeyVerifier key_verifier ABSL_GUARDED_BY(mutex);
  std::function<void(bool)> ready_listener ABSL_GUARDED_BY(mutex);
  bool wants_ready ABSL_GUARDED_BY(mutex) = false;
  bool draining ABSL_GUARDED_BY(mutex) = false;

  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (ready_listener) ready_listener(wants_ready && !draining);
  }
};

}  // namespace dki::rpc
