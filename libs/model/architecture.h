// SPDX-License-Identifier: Apache-2.0
// Model families as data: names of metadata and tensors, and the few facts in which families
// differ. The forward pass reads rows of this table and has no branch for a family.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "libs/base/status.h"
#include "libs/model/config.h"
#include "libs/model/gguf.h"

namespace dki::model {

struct Architecture {
  std::string_view name;  // general.architecture, and the prefix of its metadata keys
  RopePairing pairing;
  bool qkv_bias;  // the projections of q, k and v add a bias
};

// Names of the tensors; those of a layer stand behind "blk.<layer>.".
struct TensorNames {
  std::string_view embeddings = "token_embd.weight";
  std::string_view output_norm = "output_norm.weight";
  std::string_view output = "output.weight";            // absent: tied to the embeddings
  std::string_view rope_factors = "rope_freqs.weight";  // optional
  std::string_view attention_norm = "attn_norm.weight";
  std::string_view q = "attn_q.weight";
  std::string_view k = "attn_k.weight";
  std::string_view v = "attn_v.weight";
  std::string_view q_bias = "attn_q.bias";
  std::string_view k_bias = "attn_k.bias";
  std::string_view v_bias = "attn_v.bias";
  std::string_view attention_output = "attn_output.weight";
  std::string_view ffn_norm = "ffn_norm.weight";
  std::string_view ffn_gate = "ffn_gate.weight";
  std::string_view ffn_up = "ffn_up.weight";
  std::string_view ffn_down = "ffn_down.weight";
};
inline constexpr TensorNames kTensorNames;

// All families that can be loaded.
std::span<const Architecture> Architectures();
// INVALID_ARGUMENT for a family that is not in the table.
absl::StatusOr<const Architecture*> FindArchitecture(std::string_view name);

// Hyperparameters of the file, each within sane limits and consistent with the others; everything
// of ModelConfig but the fingerprint. INVALID_ARGUMENT names the key and its limit.
absl::StatusOr<ModelConfig> ReadConfig(const GgufFile& file, const Architecture& architecture);

}  // namespace dki::model
