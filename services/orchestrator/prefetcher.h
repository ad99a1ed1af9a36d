// SPDX-License-Identifier: Apache-2.0
// Purpose: tells kv which pack is coming, before the gate has decided and while the decision is
//   being committed, and when it is not needed after all. Never waits, never fails a request: kv
//   answers at once, and what it does not answer in time is dropped.
// Thread-safety: thread-safe.
#pragma once

#include <string>

#include "libs/rpc/call_queue.h"
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
  mutable rpc::CallQueue calls_{64};  // a slow kv must not pile them up
};

}  // namespace dki::orchestrator
