// SPDX-License-Identifier: Apache-2.0
// Purpose: what operators see of the tiers and do to them; always of one tenant.
// Thread-safety: thread-safe, as the tiers are.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dki/kv/v1/kv_service.pb.h"
#include "libs/base/status.h"
#include "libs/kvcache/kv_tier.h"
#include "services/kv/compute_turn.h"

namespace dki::kv {

class OperatorApi {
 public:
  struct Parts {
    kvcache::KvTier* serving = nullptr;  // all tiers as one; its Erase leaves out the remote one
    kvcache::KvTier* remote = nullptr;   // that one, or null
    // Each by itself, fastest first.
    std::vector<std::pair<kvcache::TierName, kvcache::KvTier*>> tiers;
  };
  explicit OperatorApi(Parts parts) : parts_(std::move(parts)) {}

  void AddStats(const std::string& tenant_id, v1::GetStatsResponse* response) const;
  // INVALID_ARGUMENT names the field and its limit.
  absl::Status List(const std::string& tenant_id, const v1::ListBlocksRequest& request,
                    v1::ListBlocksResponse* response) const;
  // What `go_on` says, between blocks.
  absl::Status Verify(const std::string& tenant_id, const GoOn& go_on,
                      v1::VerifyBlocksResponse* response) const;
  // From the remote tier, too, for all workers that share it; UNAVAILABLE when it is away (then
  // only this worker's own tiers have let go).
  absl::Status Evict(const std::string& tenant_id, const v1::EvictBlocksRequest& request,
                     v1::EvictBlocksResponse* response) const;

 private:
  Parts parts_;
};

}  // namespace dki::kv
