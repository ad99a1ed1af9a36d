// SPDX-License-Identifier: Apache-2.0
// The tensors of a model, checked against its configuration. Nothing is copied: all pointers look
// into the file's mapping.
#pragma once

#include <vector>

#include "kernels/matmul.h"
#include "libs/base/status.h"
#include "libs/model/architecture.h"
#include "libs/model/config.h"
#include "libs/model/gguf.h"

namespace dki::model {

// Matrices are [n_out, n_in]. Biases may be null.
struct LayerWeights {
  const float* attention_norm = nullptr;  // [hidden_dim]
  kernels::WeightMatrix q;                // [n_heads * head_dim, hidden_dim]
  kernels::WeightMatrix k, v;             // [n_kv_heads * head_dim, hidden_dim]
  const float* q_bias = nullptr;
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  kernels::WeightMatrix attention_output;  // [hidden_dim, n_heads * head_dim]
  const float* ffn_norm = nullptr;         // [hidden_dim]
  kernels::WeightMatrix gate, up;          // [ffn_dim, hidden_dim]
  kernels::WeightMatrix down;              // [hidden_dim, ffn_dim]
};

struct Weights {
  kernels::WeightMatrix embeddings;     // [vocab_size, hidden_dim]
  kernels::WeightMatrix output;         // the same shape, may be the same matrix
  const float* output_norm = nullptr;   // [hidden_dim]
  const float* rope_factors = nullptr;  // [n_rot / 2], or null
  std::vector<LayerWeights> layers;
};

// INVALID_ARGUMENT names the tensor that is absent or has another shape or number format.
absl::StatusOr<Weights> ReadWeights(const GgufFile& file, const Architecture& architecture,
                                    const ModelConfig& config);

// Bytes of all matrices that the products of a token read: not the table of embeddings, unless it
// is the output as well.
size_t ProductBytes(const Weights& weights);

// Hexadecimal SHA-256 of the whole file (weights, tokenizer, hyperparameters) and of the version of
// the runtime's arithmetic.
std::string Fingerprint(const GgufFile& file);

}  // namespace dki::model
