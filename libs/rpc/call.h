// SPDX-License-Identifier: Apache-2.0
// Purpose: what every RPC does around its one domain function: authenticate, check the permission,
// take a slot of the
//   concurrency limit, time, count, log with the request id, and convert the status. Handlers stay
//   about ten lines.
//
//   grpc::Status GetMemory(grpc::ServerContext* context, const GetMemoryRequest* request,
//   GetMemoryResponse* response) {
//     return rpc::Handle(*runtime_, context, "GetMemory", Permission::kMemoryRead, [&](const
//     rpc::Call& call) {
//       return store_->Get(call.caller().tenant_id, *request, response);   // absl::Status
//     });
//   }
//
// Thread-safety: a Call belongs to its handler's thread, but IsCancelled may be asked from any
// thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "libs/base/status.h"
#include "libs/rpc/identity.h"

namespace dki::rpc {

class ServiceRuntime;

class Call {
 public:
  Call(grpc::ServerContext* context, Caller caller, std::string request_id)
      : context_(context), caller_(std::move(caller)), request_id_(std::move(request_id)) {}

  const Caller& caller() const { return caller_; }
  // From the client's "x-request-id" metadata, or made here; goes into logs and downstream calls.
  const std::string& request_id() const { return request_id_; }
  // The client's deadline, or infinity.
  std::chrono::system_clock::time_point deadline() const { return context_->deadline(); }
  bool IsCancelled() const { return context_->IsCancelled(); }
  grpc::ServerContext* context() const { return context_; }

 private:
  grpc::ServerContext* context_;
  Caller caller_;
  std::string request_id_;
};

// What a call needs: a permission, or the cluster identity, or nothing.
class Requirement {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): handlers write the permission itself.
  Requirement(Permission permission) : permission_(permission) {}
  // Only other services (and the local operator, who can read the cluster key).
  static Requirement ClusterOnly() { return Requirement(true); }
  // Any authenticated caller.
  static Requirement Authenticated() { return Requirement(false); }

  absl::Status Check(const Caller& caller) const;  // PERMISSION_DENIED

 private:
  explicit Requirement(bool cluster_only) : cluster_only_(cluster_only) {}
  std::optional<Permission> permission_;
  bool cluster_only_ = false;
};

// Runs `body` as described above. `method` is the bare name, for metrics and logs.
grpc::Status Handle(ServiceRuntime& runtime, grpc::ServerContext* context, const char* method,
                    const Requirement& requirement,
                    const std::function<absl::Status(const Call&)>& body);

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace dki::rpc
