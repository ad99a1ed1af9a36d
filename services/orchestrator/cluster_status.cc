// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/cluster_status.h"

#include <thread>

namespace dki::orchestrator {
namespace {

constexpr std::chrono::seconds kPatience{1};

void Ask(const ClusterPart& part, v1::GetClusterStatusResponse::Part* answer) {
  answer->set_name(part.name);
  answer->set_address(part.address);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = part.health->Check(&context, {}, &response);
  if (!status.ok()) {
    answer->set_detail(status.error_message());
    return;
  }
  answer->set_ready(response.status() == grpc::health::v1::HealthCheckResponse::SERVING);
  answer->set_detail(grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status()));
}

}  // namespace

v1::GetClusterStatusResponse GetClusterStatus(const std::vector<ClusterPart>& parts,
                                              ModelInfo* model, const rpc::Call& call) {
  v1::GetClusterStatusResponse response;
  for (size_t i = 0; i < parts.size(); ++i) response.add_parts();
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < parts.size(); ++i) {
      threads.emplace_back(Ask, std::cref(parts[i]), response.mutable_parts(static_cast<int>(i)));
    }
  }
  const auto known = model->Get(call);
  if (known.ok()) {
    response.set_model_name(known->name());
    response.set_model_fingerprint(known->fingerprint());
    response.set_runtime(known->runtime());
    response.set_context_length(known->context_length());
  }
  response.set_tenant_id(call.caller().tenant_id);
  return response;
}

}  // namespace dki::orchestrator
