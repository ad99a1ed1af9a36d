// SPDX-License-Identifier: Apache-2.0
// Purpose: packs computed in this process with the model at hand, nothing kept: for evaluation and
//   tests, which need no kv service. They are what the kv service serves, to the bit: a format that
//   loses something is gone through here too.
// Thread-safety: thread-safe when the model is (SerializedModel). Ownership: the model must outlive
//   it.
#pragma once

#include <vector>

#include "libs/engine/pack_source.h"
#include "libs/injection/block_maker.h"
#include "libs/model/model.h"

namespace dki::engine {

class LocalPackSource : public PackSource {
 public:
  LocalPackSource(model::Model* model, const model::ChatFormat& format,
                  injection::DriftOptions drift = {})
      : maker_(model, format, drift) {}

  absl::StatusOr<std::vector<LoadedBlock>> Load(const PackRequest& request,
                                                const injection::PackPlan& plan) override;

 private:
  injection::BlockMaker maker_;
};

}  // namespace dki::engine
