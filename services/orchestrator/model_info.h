// SPDX-License-Identifier: Apache-2.0
// Purpose: what generation says of its model, asked once and again when the answers come from
//   another one. Thread-safety: thread-safe.
#pragma once

#include <optional>
#include <string>

#include "libs/base/mutex.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

class ModelInfo {
 public:
  explicit ModelInfo(const Upstreams* upstreams) : upstreams_(*upstreams) {}

  absl::StatusOr<generation::v1::GetModelResponse> Get(const rpc::Call& call);
  // An answer came from a model with this fingerprint.
  void Saw(const std::string& fingerprint);
  // Generation was away; who comes back may be another.
  void Forget();

 private:
  const Upstreams& upstreams_;
  Mutex mutex_;
  std::optional<generation::v1::GetModelResponse> model_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::orchestrator
