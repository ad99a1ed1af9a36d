// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return true;
    // The cluster identity is not accepted: clocks or keys, which an operator puts right.
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return true;
    default:
      return false;
  }
}

absl::Status CheckClient(const rpc::Call& call) {
  if (call.deadline() <= std::chrono::system_clock::now()) {
    return DeadlineExceeded("the request's deadline has passed");
  }
  if (call.IsCancelled()) return Cancelled("the client cancelled the request");
  return absl::OkStatus();
}

}  // namespace dki::orchestrator
