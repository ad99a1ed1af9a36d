// SPDX-License-Identifier: Apache-2.0
// Purpose: the services that the pipeline calls, behind their generated interfaces, with a time
// limit
//   for each and the contexts to call them in. Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "dki/audit/v1/audit_service.grpc.pb.h"
#include "dki/erasure/v1/erasure_service.grpc.pb.h"
#include "dki/generation/v1/generation_service.grpc.pb.h"
#include "dki/kv/v1/kv_service.grpc.pb.h"
#include "dki/memory/v1/memory_store_service.grpc.pb.h"
#include "dki/retrieval/v1/retrieval_service.grpc.pb.h"
#include "dki/tenant/v1/tenant_service.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "libs/rpc/client.h"

namespace dki::orchestrator {

using Timeout = std::chrono::milliseconds;

struct Upstreams {
  explicit Upstreams(rpc::ClusterKey key) : key(std::move(key)) {}

  rpc::ClusterKey key;

  std::shared_ptr<memory::v1::MemoryStoreService::StubInterface> memory_store;
  std::shared_ptr<audit::v1::AuditService::StubInterface> audit;
  std::shared_ptr<tenant::v1::TenantService::StubInterface> tenants;
  std::shared_ptr<erasure::v1::ErasureService::StubInterface> erasures;
  Timeout memory_store_timeout{5'000};

  std::shared_ptr<retrieval::v1::RetrievalService::StubInterface> retrieval;
  Timeout retrieval_timeout{2'000};

  std::shared_ptr<kv::v1::KvService::StubInterface> kv;
  Timeout kv_timeout{1'000};

  std::shared_ptr<generation::v1::GenerationService::StubInterface> generation;
  Timeout generation_timeout{120'000};

  // The context of a call on behalf of `call`. The key was checked for what the client asked; what
  // the pipeline does to answer (read memories, append to a conversation) needs no scope of its
  // own, but stays within the key's tenant, and only an admin key acts as admin.
  std::unique_ptr<grpc::ClientContext> ContextFor(const rpc::Call& call, Timeout timeout) const {
    rpc::Caller caller = call.caller();
    caller.permissions.insert(
        {rpc::Permission::kChat, rpc::Permission::kMemoryRead, rpc::Permission::kMemoryWrite});
    return rpc::OutgoingContext(key, rpc::Call(call.context(), caller, call.request_id()), timeout);
  }
  // One that goes on when the client has gone.
  std::unique_ptr<grpc::ClientContext> DetachedContext(const std::string& tenant_id,
                                                       const std::string& request_id,
                                                       Timeout timeout) const {
    return rpc::OutgoingContext(key, tenant_id, request_id, timeout);
  }
};

// The part is away or too slow, and the same call may succeed later.
bool IsTransient(const absl::Status& status);

// The client itself has gone, or its time is up: nothing is worth doing for it any more.
absl::Status CheckClient(const rpc::Call& call);

}  // namespace dki::orchestrator
