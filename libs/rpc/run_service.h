// SPDX-License-Identifier: Apache-2.0
// Purpose: the whole of a service's main: --config (YAML mapped to a config proto, validated,
// errors name the field),
//   --dump_config, --version; logging; build; health, reflection, metrics; SIGTERM drains; exit
//   code from Status.
//
//   int main(int argc, char** argv) {
//     return dki::rpc::RunService<dki::config::v1::KvServer>(argc, argv, "kv",
//     dki::kv::DefaultConfig(), dki::kv::BuildKvServer);
//   }
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dki/config/v1/server.pb.h"
#include "libs/base/status.h"
#include "libs/rpc/service_runtime.h"

namespace dki::rpc {

// A built service: owns its object graph.
class ServiceInstance {
 public:
  virtual ~ServiceInstance() = default;
  // The gRPC services to register; owned by this object.
  virtual std::vector<grpc::Service*> services() = 0;
  // Called once the listener is up. Calls runtime.SetReady(true) now or later, from a thread of its
  // own.
  virtual absl::Status Start() = 0;
  // SIGTERM: stop background work, end endless streams. Running calls may finish within the drain
  // timeout.
  virtual void Drain() = 0;
};

using BuildFunction = std::function<absl::StatusOr<std::unique_ptr<ServiceInstance>>(
    const google::protobuf::Message& config, ServiceRuntime* runtime)>;

// `defaults` holds every field's default; the file's values are merged over it. `server` picks its
// Server part.
int RunServiceImpl(
    int argc, char** argv, const std::string& name, const google::protobuf::Message& defaults,
    const std::function<const config::v1::Server&(const google::protobuf::Message&)>& server,
    const BuildFunction& build);

// `Config` has a field `server` of type dki.config.v1.Server.
template <typename Config>
int RunService(
    int argc, char** argv, const std::string& name, const Config& defaults,
    std::function<absl::StatusOr<std::unique_ptr<ServiceInstance>>(const Config&, ServiceRuntime*)>
        build) {
  return RunServiceImpl(
      argc, argv, name, defaults,
      [](const google::protobuf::Message& m) -> const config::v1::Server& {
        return static_cast<const Config&>(m).server();
      },
      [build](const google::protobuf::Message& m, ServiceRuntime* runtime) {
        return build(static_cast<const Config&>(m), runtime);
      });
}

// The Server part's defaults: loopback on `port`, metrics on `port + 100`, info logs, 10 s drain,
// 256 calls.
config::v1::Server DefaultServer(int port);

}  // namespace dki::rpc
