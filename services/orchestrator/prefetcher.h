// SPDX-License-Identifier: Apache-2.0
// Purpose: tells kv which pack is coming, before the gate has decided and while the decision is
//   being committed, and when it is not needed after all. Never waits, never fails a request.
// Thread-safety: thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

class Prefetcher {
 public:
  explicit Prefetcher(const Upstreams* upstreams) : upstreams_(*upstreams) {}

  void Prefetch(const std::string& tenant_id, const std::string& request_id,
                const std::string& kv_fingerprint, const std::string& prefetch_id,
                kv::v1::PackSpec pack) const;
  void Cancel(const std::string& tenant_id, const std::string& request_id,
              const std::string& prefetch_id) const;

 private:
  const Upstreams& upstreams_;
  // Calls under way: a slow kv must not pile them up.
  const std::shared_ptr<std::atomic<int>> running_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace dki::orchestrator
