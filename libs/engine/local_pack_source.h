// SPDX-License-Identifier: Apache-2.0
// Purpose: packs computed in this process with the model at hand, nothing kept: for evaluation and
//   tests, which need no kv service.
// Thread-safety: thread-safe when the model is (SerializedModel). Ownership: the model must outlive
//   it.
#pragma once

#include <vector>

#include "libs/engine/pack_source.h"
#include "libs/model/model.h"

namespace dki::engine {

class LocalPackSource : public PackSource {
 public:
  explicit LocalPackSource(model::Model* model) : model_(model) {}

  absl::StatusOr<std::vector<LoadedBlock>> Load(const PackRequest& request,
                                                const injection::PackPlan& plan) override;

 private:
  model::Model* const model_;
};

}  // namespace dki::engine
