// SPDX-License-Identifier: Apache-2.0
// Purpose: the standard health-checking protocol (github.com/grpc/grpc, doc/health-checking.md) as
// a synchronous service. gRPC's own is the one user of its callback queue in these servers, and
// gRPC 1.51 can abort when that queue is polled while its server shuts down (ref_counted.h: a
// reference taken from zero). Thread-safety: thread-safe.
#pragma once

#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "libs/base/mutex.h"

namespace dki::rpc {

class HealthService final : public ::grpc::health::v1::Health::Service {
 public:
  // The full names that are known, beside "" for the whole server. Not before this is the server
  // told to be serving.
  void SetServices(std::vector<std::string> names);
  void SetServing(bool serving);
  // NOT_SERVING for good; running Watch calls end.
  void Shutdown();

  // NOT_FOUND for a service that is not known.
  grpc::Status Check(grpc::ServerContext* context,
                     const ::grpc::health::v1::HealthCheckRequest* request,
                     ::grpc::health::v1::HealthCheckResponse* response) override;
  // The state now, then each change. RESOURCE_EXHAUSTED beyond 64 watchers: each one holds a
  // thread.
  grpc::Status Watch(grpc::ServerContext* context,
                     const ::grpc::health::v1::HealthCheckRequest* request,
                     grpc::ServerWriter<::grpc::health::v1::HealthCheckResponse>* writer) override;

 private:
  using ServingStatus = ::grpc::health::v1::HealthCheckResponse::ServingStatus;
  ServingStatus StatusOf(const std::string& service) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  grpc::Status SendChanges(grpc::ServerContext* context, const std::string& service,
                           grpc::ServerWriter<::grpc::health::v1::HealthCheckResponse>* writer);

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> names_ ABSL_GUARDED_BY(mutex_);
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  int watchers_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dki::rpc
