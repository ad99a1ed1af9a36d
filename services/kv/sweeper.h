// SPDX-License-Identifier: Apache-2.0
// Purpose: drops what has expired from the tiers, every few seconds, on a thread of its own.
// Nothing
//   expired is served in between; this gives its room back and takes it off the disk.
// Thread-safety: Start and Stop from one thread. Ownership: the tier must outlive it.
#pragma once

#include <chrono>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/kvcache/kv_tier.h"

namespace dki::kv {

class Sweeper {
 public:
  Sweeper(kvcache::KvTier* tier, std::chrono::milliseconds period) : tier_(tier), period_(period) {}
  ~Sweeper() { Stop(); }

  void Start();
  void Stop();

 private:
  void Run();

  kvcache::KvTier* const tier_;
  const std::chrono::milliseconds period_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::kv
