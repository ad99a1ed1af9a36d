// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/model_info.h"

namespace dki::orchestrator {
namespace {

constexpr Timeout kTimeout{2'000};

}  // namespace

absl::StatusOr<generation::v1::GetModelResponse> ModelInfo::Get(const rpc::Call& call) {
  {
    MutexLock lock(&mutex_);
    if (model_) return *model_;
  }
  generation::v1::GetModelResponse model;
  const auto context = upstreams_.ContextFor(call, kTimeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.generation->GetModel(context.get(), {}, &model)));
  MutexLock lock(&mutex_);
  model_ = model;
  return model;
}

void ModelInfo::Saw(const std::string& fingerprint) {
  MutexLock lock(&mutex_);
  if (model_ && model_->fingerprint() != fingerprint) model_.reset();
}

void ModelInfo::Forget() {
  MutexLock lock(&mutex_);
  model_.reset();
}

}  // namespace dki::orchestrator
