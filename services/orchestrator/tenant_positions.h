// SPDX-License-Identifier: Apache-2.0
// Purpose: the last feed position of each tenant that this process has written, so that a client
//   reads its own writes. Thread-safety: thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "libs/base/mutex.h"

namespace dki::orchestrator {

class TenantPositions {
 public:
  void Saw(const std::string& tenant_id, int64_t position) {
    MutexLock lock(&mutex_);
    int64_t& last = positions_[tenant_id];
    last = std::max(last, position);
  }
  // 0: nothing was written.
  int64_t Last(const std::string& tenant_id) const {
    MutexLock lock(&mutex_);
    const auto found = positions_.find(tenant_id);
    return found == positions_.end() ? 0 : found->second;
  }

 private:
  mutable Mutex mutex_;
  std::unordered_map<std::string, int64_t> positions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::orchestrator
