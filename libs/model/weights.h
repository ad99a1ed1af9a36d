// SPDX-License-Identifier: Apache-2.0
// The tensors of a model, checked against its configuration. Matrices are not copied: their
// pointers look into the files' mapping, but where a file keeps the rows of several matrices mixed.
#pragma once

#include <memory>
#include <vector>

#include "kernels/matmul.h"
#include "libs/base/status.h"
#include "libs/model/architecture.h"
#include "libs/model/config.h"
#include "libs/model/tensor_source.h"

namespace dki::model {

struct NormWeights {
  const float* weight = nullptr;
  const float* bias = nullptr;  // or null
};

// Matrices are [n_out, n_in]. Biases and optional norms may be null.
struct LayerWeights {
  NormWeights attention_norm;  // [hidden_dim]
  kernels::WeightMatrix q;     // [n_heads * head_dim, hidden_dim]
  kernels::WeightMatrix k, v;  // [n_kv_heads * head_dim, hidden_dim]
  const float* q_bias = nullptr;
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  NormWeights q_norm, k_norm;              // [head_dim], of each head
  kernels::WeightMatrix attention_output;  // [hidden_dim, n_heads * head_dim]
  const float* attention_output_bias = nullptr;
  NormWeights attention_post_norm;  // [hidden_dim]
  NormWeights ffn_norm;             // [hidden_dim]
  kernels::WeightMatrix gate, up;   // [ffn_dim, hidden_dim]; no gate: data is null
  const float* up_bias = nullptr;
  kernels::WeightMatrix down;  // [hidden_dim, ffn_dim]
  const float* down_bias = nullptr;
  NormWeights ffn_post_norm;  // [hidden_dim]
};

struct Weights {
  kernels::WeightMatrix embeddings;  // [vocab_size, hidden_dim]
  kernels::WeightMatrix output;      // the same shape, may be the same matrix
  NormWeights output_norm;           // [hidden_dim]
  std::vector<LayerWeights> layers;

  std::vector<std::unique_ptr<char[]>> owned;  // what was converted or gathered
};

// INVALID_ARGUMENT names the tensor that is absent or has another shape or number format.
absl::StatusOr<Weights> ReadWeights(const TensorSource& tensors, const FileForm& form,
                                    const ModelConfig& config);

// Bytes of all matrices that the products of a token read: not the table of embeddings, unless it
// is the output as well.
size_t ProductBytes(const Weights& weights);

}  // namespace dki::model
