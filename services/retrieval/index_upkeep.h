// SPDX-License-Identifier: Apache-2.0
// Purpose: a thread that does the indexes' upkeep, so that neither searches nor the feed wait for
// it. Thread-safety: Start and Stop from one thread.
#pragma once

#include <thread>

#include "libs/base/mutex.h"
#include "services/retrieval/tenant_indexes.h"

namespace dki::retrieval {

class IndexUpkeep {
 public:
  explicit IndexUpkeep(TenantIndexes* indexes) : indexes_(indexes) {}
  ~IndexUpkeep() { Stop(); }

  void Start();
  // Returns when the piece of work in hand is done.
  void Stop();

 private:
  void Run();

  TenantIndexes* const indexes_;
  Mutex mutex_;
  CondVar stopped_changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::retrieval
