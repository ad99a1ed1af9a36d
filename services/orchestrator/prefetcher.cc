// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/prefetcher.h"

#include <utility>

namespace dki::orchestrator {
namespace {

constexpr int kMaxRunning = 64;

// Lives until the call has ended.
template <typename Request, typename Response>
struct Running {
  Running(const Upstreams& upstreams, std::shared_ptr<std::atomic<int>> running,
          const std::string& tenant_id, const std::string& request_id)
      : stub(upstreams.kv),
        running(std::move(running)),
        context(upstreams.DetachedContext(tenant_id, request_id, upstreams.kv_timeout)) {}
  ~Running() { running->fetch_sub(1); }

  std::shared_ptr<kv::v1::KvService::StubInterface> stub;
  std::shared_ptr<std::atomic<int>> running;
  std::unique_ptr<grpc::ClientContext> context;
  Request request;
  Response response;
};

// False: too many are under way.
bool Enter(std::atomic<int>* running) {
  if (running->fetch_add(1) < kMaxRunning) return true;
  running->fetch_sub(1);
  return false;
}

}  // namespace

void Prefetcher::Prefetch(const std::string& tenant_id, const std::string& request_id,
                          const std::string& kv_fingerprint, const std::string& prefetch_id,
                          kv::v1::PackSpec pack) const {
  if (pack.memories().empty() || kv_fingerprint.empty()) return;
  auto* const async = upstreams_.kv->async();
  if (async == nullptr || !Enter(running_.get())) return;
  using Call = Running<kv::v1::PrefetchRequest, kv::v1::PrefetchResponse>;
  auto call = std::make_shared<Call>(upstreams_, running_, tenant_id, request_id);
  call->request.set_model_fingerprint(kv_fingerprint);
  call->request.set_prefetch_id(prefetch_id);
  *call->request.mutable_pack() = std::move(pack);
  async->Prefetch(call->context.get(), &call->request, &call->response,
                  [call](const grpc::Status&) {});
}

void Prefetcher::Cancel(const std::string& tenant_id, const std::string& request_id,
                        const std::string& prefetch_id) const {
  auto* const async = upstreams_.kv->async();
  if (async == nullptr || !Enter(running_.get())) return;
  using Call = Running<kv::v1::CancelPrefetchRequest, kv::v1::CancelPrefetchResponse>;
  auto call = std::make_shared<Call>(upstreams_, running_, tenant_id, request_id);
  call->request.set_prefetch_id(prefetch_id);
  async->CancelPrefetch(call->context.get(), &call->request, &call->response,
                        [call](const grpc::Status&) {});
}

}  // namespace dki::orchestrator
