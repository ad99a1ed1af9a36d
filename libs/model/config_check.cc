// SPDX-License-Identifier: Apache-2.0
#include "libs/model/config_check.h"

#include <cmath>

#include "kernels/attention.h"

namespace dki::model {
namespace {

absl::Status CheckRope(const RopeConfig& rope, int head_dim) {
  if (rope.n_rot % 2 != 0 || rope.n_rot < 0 || rope.n_rot > head_dim) {
    return InvalidArgument(
        "%d rotated channels: the number (rope.dimension_count) must be even "
        "and at most %d",
        rope.n_rot, head_dim);
  }
  if (!(rope.theta > 0 && rope.theta <= 1e12)) {
    return InvalidArgument("the rotary base %g must be above 0 and at most 1e12", rope.theta);
  }
  if (!rope.factors.empty() && static_cast<int>(rope.factors.size()) != rope.n_rot / 2) {
    return InvalidArgument("%d rotary factors, there must be %d", rope.factors.size(),
                           rope.n_rot / 2);
  }
  for (size_t i = 0; i < rope.factors.size(); ++i) {
    if (!(rope.factors[i] >= 1e-6f && rope.factors[i] <= 1e6f))
      return InvalidArgument("rotary factor %d (rope_freqs.weight) is %g", i, rope.factors[i]);
  }
  return absl::OkStatus();
}

}  // namespace

void ApplyArchitecture(const Architecture& architecture, const FileForm& form,
                       ModelConfig* config) {
  config->architecture = architecture.name;
  config->norm = architecture.norm;
  config->activation = architecture.activation;
  config->parallel_residual = architecture.parallel_residual;
  if (architecture.scaled_embeddings)
    config->embedding_scale = std::sqrt(static_cast<float>(config->hidden_dim));
  config->attention_scale = 1.0f / std::sqrt(static_cast<float>(config->head_dim));
  config->rope.pairing = config->window_rope.pairing = form.pairing;
}

absl::Status ReadVocabularySize(const TensorSource& tensors, const TensorNames& names,
                                ModelConfig* config) {
  DKI_ASSIGN_OR_RETURN(const TensorView embeddings, tensors.Get(names.embeddings));
  if (embeddings.n_rows < 1 || embeddings.n_rows > kMaxVocabulary) {
    return InvalidArgument("tensor %s has %d rows, there must be between 1 and %d",
                           names.embeddings, embeddings.n_rows, kMaxVocabulary);
  }
  config->vocab_size = static_cast<int>(embeddings.n_rows);
  config->tied_embeddings = !tensors.Has(names.output);
  return absl::OkStatus();
}

void SetWindowedLayers(int full_every, ModelConfig* config) {
  config->windowed.assign(config->n_layers, false);
  for (int layer = 0; layer < config->n_layers; ++layer)
    config->windowed[layer] = (layer + 1) % full_every != 0;
}

absl::Status CheckConfig(const ModelConfig& config) {
  if (config.n_heads % config.n_kv_heads != 0) {
    return InvalidArgument("%d heads are not a multiple of %d K/V heads", config.n_heads,
                           config.n_kv_heads);
  }
  if (config.head_dim < 2 || config.head_dim > kernels::kMaxHeadDim) {
    return InvalidArgument("a head has %d channels, it must have between 2 and %d", config.head_dim,
                           kernels::kMaxHeadDim);
  }
  DKI_RETURN_IF_ERROR(CheckRope(config.rope, config.head_dim));
  if (config.window > 0) DKI_RETURN_IF_ERROR(CheckRope(config.window_rope, config.head_dim));
  return absl::OkStatus();
}

}  // namespace dki::model
