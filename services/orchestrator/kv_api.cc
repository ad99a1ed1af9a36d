// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/kv_api.h"

namespace dki::orchestrator {
namespace {

// Tables of tiers are walked, blocks erased.
constexpr Timeout kListTimeout{30'000};
// Every block is read.
constexpr Timeout kVerifyTimeout{600'000};

}  // namespace

absl::Status KvApi::GetStats(const rpc::Call& call, v1::GetKvStatsResponse* response) const {
  const auto context = upstreams_.ContextFor(call, kListTimeout);
  return rpc::FromGrpcStatus(upstreams_.kv->GetStats(context.get(), {}, response->mutable_stats()));
}

absl::Status KvApi::List(const rpc::Call& call, const v1::ListKvBlocksRequest& request,
                         v1::ListKvBlocksResponse* response) const {
  const auto context = upstreams_.ContextFor(call, kListTimeout);
  return Annotate(rpc::FromGrpcStatus(upstreams_.kv->ListBlocks(context.get(), request.list(),
                                                                response->mutable_page())),
                  "list");
}

absl::Status KvApi::Verify(const rpc::Call& call, v1::VerifyKvBlocksResponse* response) const {
  const auto context = upstreams_.ContextFor(call, kVerifyTimeout);
  return rpc::FromGrpcStatus(
      upstreams_.kv->VerifyBlocks(context.get(), {}, response->mutable_result()));
}

absl::Status KvApi::Evict(const rpc::Call& call, const v1::EvictKvBlocksRequest& request,
                          v1::EvictKvBlocksResponse* response) const {
  const auto context = upstreams_.ContextFor(call, kListTimeout);
  return Annotate(rpc::FromGrpcStatus(upstreams_.kv->EvictBlocks(context.get(), request.evict(),
                                                                 response->mutable_result())),
                  "evict");
}

}  // namespace dki::orchestrator
