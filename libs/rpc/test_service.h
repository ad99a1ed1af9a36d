// SPDX-License-Identifier: Apache-2.0
// Purpose: a service whose only call, Search, does what a test says, for the tests of libs/rpc.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "dki/retrieval/v1/retrieval_service.grpc.pb.h"
#include "libs/rpc/call.h"
#include "libs/rpc/run_service.h"

namespace dki::rpc {

class TestService final : public retrieval::v1::RetrievalService::Service, public ServiceInstance {
 public:
  using Body = std::function<absl::Status(const Call&)>;

  TestService(ServiceRuntime* runtime, Requirement requirement, Body body)
      : runtime_(runtime), requirement_(std::move(requirement)), body_(std::move(body)) {}

  grpc::Status Search(grpc::ServerContext* context, const retrieval::v1::SearchRequest*,
                      retrieval::v1::SearchResponse*) override {
    return Handle(*runtime_, context, "Search", requirement_, body_);
  }

  std::vector<grpc::Service*> services() override { return {this}; }
  absl::Status Start() override {
    if (on_start) on_start();
    return absl::OkStatus();
  }
  void Drain() override {
    if (on_drain) on_drain();
  }

  std::function<void()> on_start;
  std::function<void()> on_drain;

 private:
  ServiceRuntime* runtime_;
  Requirement requirement_;
  Body body_;
};

inline config::v1::Server TestServerConfig() {
  config::v1::Server config = DefaultServer(0);
  config.set_listen("127.0.0.1:0");
  config.set_metrics_listen("");
  return config;
}

}  // namespace dki::rpc
