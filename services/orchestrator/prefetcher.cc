// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/prefetcher.h"

#include <algorithm>
#include <utility>

namespace dki::orchestrator {
namespace {

// kv begins with it and answers; it does not wait for the blocks.
constexpr std::chrono::milliseconds kMostPatience{2000};

Timeout Patience(const Upstreams& upstreams) {
  return std::min<Timeout>(upstreams.kv_timeout, kMostPatience);
}

}  // namespace

void Prefetcher::Prefetch(const std::string& tenant_id, const std::string& request_id,
                          const std::string& kv_fingerprint, const std::string& prefetch_id,
                          kv::v1::PackSpec pack) const {
  if (pack.memories().empty() || kv_fingerprint.empty()) return;
  kv::v1::PrefetchRequest request;
  request.set_model_fingerprint(kv_fingerprint);
  request.set_prefetch_id(prefetch_id);
  *request.mutable_pack() = std::move(pack);
  calls_.Offer(
      upstreams_.DetachedContext(tenant_id, request_id, Patience(upstreams_)),
      [kv = upstreams_.kv, request = std::move(request)](grpc::ClientContext* context) {
        kv::v1::PrefetchResponse response;
        kv->Prefetch(context, request, &response).ok();  // else it is loaded when asked for
      });
}

void Prefetcher::Cancel(const std::string& tenant_id, const std::string& request_id,
                        const std::string& prefetch_id) const {
  kv::v1::CancelPrefetchRequest request;
  request.set_prefetch_id(prefetch_id);
  calls_.Offer(upstreams_.DetachedContext(tenant_id, request_id, Patience(upstreams_)),
               [kv = upstreams_.kv, request = std::move(request)](grpc::ClientContext* context) {
                 kv::v1::CancelPrefetchResponse response;
                 kv->CancelPrefetch(context, request, &response).ok();  // else it ends by itself
               });
}

}  // namespace dki::orchestrator
