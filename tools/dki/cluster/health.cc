// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/health.h"

#include <grpcpp/grpcpp.h>

#include "grpc/health/v1/health.grpc.pb.h"

namespace dki::cluster {

std::string_view ToString(Health health) {
  switch (health) {
    case Health::kServing:
      return "serving";
    case Health::kNotServing:
      return "not serving";
    case Health::kUnreachable:
      return "unreachable";
  }
  return "unreachable";
}

Health CheckHealth(const std::string& address, std::chrono::milliseconds timeout) {
  // A channel of its own: a shared one would back off while the service is starting.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, {}, &response);
  if (!status.ok()) return Health::kUnreachable;
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING ? Health::kServing
                                                                             : Health::kNotServing;
}

}  // namespace dki::cluster
