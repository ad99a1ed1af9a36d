// SPDX-License-Identifier: Apache-2.0
// A gRPC server of one service on a port of its own, and calls to it in the cluster's name.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "libs/base/check.h"
#include "libs/rpc/client.h"
#include "libs/rpc/service_runtime.h"

namespace dki::generation {

class TestServer {
 public:
  explicit TestServer(grpc::Service* service) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    DKI_CHECK(server_ != nullptr);
  }
  ~TestServer() { server_->Shutdown(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dki::generation
