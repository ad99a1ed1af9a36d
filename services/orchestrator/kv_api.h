// SPDX-License-Identifier: Apache-2.0
// Purpose: the operators' part of the client API: what the K/V tiers hold of the key's tenant.
// Thread-safety: thread-safe. Ownership: the upstreams must outlive it.
#pragma once

#include "dki/orchestrator/v1/dki_service.pb.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

class KvApi {
 public:
  explicit KvApi(const Upstreams* upstreams) : upstreams_(*upstreams) {}

  absl::Status GetStats(const rpc::Call& call, v1::GetKvStatsResponse* response) const;
  absl::Status List(const rpc::Call& call, const v1::ListKvBlocksRequest& request,
                    v1::ListKvBlocksResponse* response) const;
  absl::Status Verify(const rpc::Call& call, v1::VerifyKvBlocksResponse* response) const;
  absl::Status Evict(const rpc::Call& call, const v1::EvictKvBlocksRequest& request,
                     v1::EvictKvBlocksResponse* response) const;

 private:
  const Upstreams& upstreams_;
};

}  // namespace dki::orchestrator
