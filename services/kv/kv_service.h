// SPDX-License-Identifier: Apache-2.0
// Purpose: KvService on the wire. Only services of the cluster may call; the tenant is theirs to
//   act for. UNAVAILABLE until Serve.
// Thread-safety: thread-safe. Ownership: owns none of its parts.
#pragma once

#include <atomic>
#include <string>

#include "dki/kv/v1/kv_service.grpc.pb.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/rpc/call.h"
#include "libs/rpc/service_runtime.h"
#include "libs/transfer/handoff_giver.h"
#include "services/kv/operator_api.h"
#include "services/kv/pack_loader.h"
#include "services/kv/prefetcher.h"

namespace dki::kv {

class KvService final : public v1::KvService::Service {
 public:
  struct Parts {
    std::string model_fingerprint;
    PackLoader* loader = nullptr;
    Prefetcher* prefetcher = nullptr;
    const kvcache::KvTier* ram = nullptr;
    const kvcache::KvTier* disk = nullptr;    // null: none
    const kvcache::KvTier* remote = nullptr;  // null: none
    const OperatorApi* operators = nullptr;
    transfer::HandoffGiver* handoff = nullptr;  // null: none
  };
  explicit KvService(rpc::ServiceRuntime* runtime);

  // Once.
  void Serve(Parts parts);

  grpc::Status GetPack(grpc::ServerContext* context, const v1::GetPackRequest* request,
                       grpc::ServerWriter<v1::GetPackResponse>* writer) override;
  grpc::Status Prefetch(grpc::ServerContext* context, const v1::PrefetchRequest* request,
                        v1::PrefetchResponse* response) override;
  grpc::Status CancelPrefetch(grpc::ServerContext* context,
                              const v1::CancelPrefetchRequest* request,
                              v1::CancelPrefetchResponse* response) override;
  grpc::Status GetStats(grpc::ServerContext* context, const v1::GetStatsRequest* request,
                        v1::GetStatsResponse* response) override;
  grpc::Status ListBlocks(grpc::ServerContext* context, const v1::ListBlocksRequest* request,
                          v1::ListBlocksResponse* response) override;
  grpc::Status VerifyBlocks(grpc::ServerContext* context, const v1::VerifyBlocksRequest* request,
                            v1::VerifyBlocksResponse* response) override;
  grpc::Status EvictBlocks(grpc::ServerContext* context, const v1::EvictBlocksRequest* request,
                           v1::EvictBlocksResponse* response) override;

 private:
  absl::StatusOr<const Parts*> Ready() const;
  // Ready, and called on behalf of a tenant.
  absl::StatusOr<const Parts*> ReadyFor(const rpc::Call& call) const;
  // What both calls begin with.
  absl::StatusOr<PackRequest> ReadRequest(const rpc::Call& call, const v1::PackSpec& pack,
                                          const std::string& model_fingerprint) const;

  rpc::ServiceRuntime* const runtime_;
  telemetry::Counter* const handed_over_;
  telemetry::Counter* const streamed_;
  Parts parts_;
  std::atomic<bool> serving_ = false;
};

}  // namespace dki::kv
