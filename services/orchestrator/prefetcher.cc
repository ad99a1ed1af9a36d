// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/prefetcher.h"

#include <utility>

namespace dki::orchestrator {
namespace {

constexpr int kMaxRunning = 64;

// Lives until the call has ended.
struct PrefetchCall {
  std::shared_ptr<kv::v1::KvService::StubInterface> stub;
  std::shared_ptr<std::atomic<int>> running;
  std::unique_ptr<grpc::ClientContext> context;
  kv::v1::PrefetchRequest request;
  kv::v1::PrefetchResponse response;
};

}  // namespace

void Prefetcher::Prefetch(const std::string& tenant_id, const std::string& request_id,
                          const std::string& kv_fingerprint, kv::v1::PackSpec pack) {
  if (pack.memories().empty() || kv_fingerprint.empty()) return;
  auto* const async = upstreams_.kv->async();
  if (async == nullptr) return;
  if (running_->fetch_add(1) >= kMaxRunning) {
    running_->fetch_sub(1);
    return;
  }
  auto call = std::make_shared<PrefetchCall>();
  call->stub = upstreams_.kv;
  call->running = running_;
  call->context = upstreams_.DetachedContext(tenant_id, request_id, upstreams_.kv_timeout);
  call->request.set_model_fingerprint(kv_fingerprint);
  *call->request.mutable_pack() = std::move(pack);
  async->Prefetch(call->context.get(), &call->request, &call->response,
                  [call](const grpc::Status&) { call->running->fetch_sub(1); });
}

}  // namespace dki::orchestrator
