// SPDX-License-Identifier: Apache-2.0
// Purpose: a service instance on its listener, with the standard health service, reflection and
// metrics. Internal to libs/rpc, and for tests that want the real thing in their own process.
// Thread-safety: thread-compatible.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "dki/config/v1/server.pb.h"
#include "libs/base/status.h"
#include "libs/rpc/health_service.h"
#include "libs/rpc/run_service.h"
#include "libs/rpc/service_runtime.h"

namespace prometheus {
class Exposer;
}

namespace dki::rpc {

// INVALID_ARGUMENT names the field and its limit.
absl::Status ValidateServer(const config::v1::Server& server);

class GrpcServer {
 public:
  // Listens, then starts the instance. `runtime` and `instance` must outlive the server.
  // FAILED_PRECONDITION when an address cannot be listened on (in use).
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const config::v1::Server& config,
                                                           ServiceRuntime* runtime,
                                                           ServiceInstance* instance);
  // Stops at once where Drain was not called.
  ~GrpcServer();

  // The TCP port in use (config may say 0), or 1 for a unix socket.
  int port() const { return port_; }

  // NOT_SERVING, then the instance drains, then calls may end within the drain timeout. Idempotent.
  void Drain();

 private:
  GrpcServer(const config::v1::Server& config, ServiceRuntime* runtime, ServiceInstance* instance);
  absl::Status Listen();
  absl::Status StartMetrics();

  const config::v1::Server config_;
  ServiceRuntime* const runtime_;
  ServiceInstance* const instance_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  HealthService health_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace dki::rpc
