// SPDX-License-Identifier: Apache-2.0
// Purpose: lets two parts of a process (the engine, and packs computed locally) share one model:
//   Forward calls take turns.
// Thread-safety: thread-safe. Ownership: the model must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
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
  void EmbeddingRow(int32_t token, std::span<float> row) const override {
    model_->EmbeddingRow(token, row);
  }
  absl::StatusOr<std::vector<float>> Forward(std::span<model::Chunk> chunks) override {
    MutexLock lock(&mutex_);
    return model_->Forward(chunks);
  }
  absl::StatusOr<std::unique_ptr<model::LayeredForward>> StartForward(
      std::span<model::Chunk> chunks) override {
    MutexLock lock(&mutex_);
    DKI_ASSIGN_OR_RETURN(std::unique_ptr<model::LayeredForward> pass, model_->StartForward(chunks));
    return std::make_unique<Pass>(&mutex_, std::move(pass));
  }
  void ForEach(int n, const std::function<void(int)>& body) override {
    MutexLock lock(&mutex_);
    model_->ForEach(n, body);
  }

 private:
  class Pass : public model::LayeredForward {
   public:
    Pass(Mutex* mutex, std::unique_ptr<model::LayeredForward> pass)
        : mutex_(*mutex), pass_(std::move(pass)) {}
    int layers_left() const override { return pass_->layers_left(); }
    void Run(int n_layers) override {
      MutexLock lock(&mutex_);
      pass_->Run(n_layers);
    }
    std::vector<float> Finish() override {
      MutexLock lock(&mutex_);
      return pass_->Finish();
    }

   private:
    Mutex& mutex_;
    const std::unique_ptr<model::LayeredForward> pass_;
  };

  model::Model* const model_;
  Mutex mutex_;
};

}  // namespace dki::engine
