// SPDX-License-Identifier: Apache-2.0
// Purpose: lets two parts of a process (the engine, and packs computed locally) share one model:
//   Forward calls take turns.
// Thread-safety: thread-safe. Ownership: the model must outlive it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/model/model.h"

namespace dki::engine {

class SerializedModel : public model::Model {
 public:
  explicit SerializedModel(model::Model* model) : model_(model) {}

  const model::ModelConfig& config() const override { return model_->config(); }
  std::string description() const override { return model_->description(); }
  size_t weight_bytes_per_token() const override { return model_->weight_bytes_per_token(); }
  absl::StatusOr<std::vector<float>> Forward(std::span<model::Chunk> chunks) override {
    MutexLock lock(&mutex_);
    return model_->Forward(chunks);
  }

 private:
  model::Model* const model_;
  Mutex mutex_;
};

}  // namespace dki::engine
