// SPDX-License-Identifier: Apache-2.0
// Purpose: readiness of the parts, by the standard health service, all asked at once.
// Thread-safety: thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dki/orchestrator/v1/dki_service.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "services/orchestrator/model_info.h"

namespace dki::orchestrator {

struct ClusterPart {
  std::string name;
  std::string address;
  std::shared_ptr<grpc::health::v1::Health::StubInterface> health;
};

// Never fails: a part that does not answer within a second is not ready, and `detail` says why.
v1::GetClusterStatusResponse GetClusterStatus(const std::vector<ClusterPart>& parts,
                                              ModelInfo* model, const rpc::Call& call);

}  // namespace dki::orchestrator
