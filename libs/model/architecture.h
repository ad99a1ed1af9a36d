// SPDX-License-Identifier: Apache-2.0
// Model families as data: what their files call things, and the few facts in which families differ.
// The forward pass reads rows of this table and has no branch for a family.
// docs/adding-a-model-family.md says how to add one.
#pragma once

#include <span>
#include <string_view>

#include "libs/base/status.h"
#include "libs/model/config.h"

namespace dki::model {

// A tensor, or some rows of one that holds several: `part` of `n_parts` of equal size.
struct TensorName {
  std::string_view name;  // empty: the family has no such tensor
  int part = 0;
  int n_parts = 1;
  bool per_head = false;  // each head has its parts in turn, [n_heads, n_parts, head_dim]
  bool optional = false;
};

// Names in one kind of file; those of a layer stand behind `layer`, its number and a dot.
struct TensorNames {
  std::string_view layer = "blk.";
  std::string_view embeddings = "token_embd.weight";
  std::string_view output = "output.weight";  // absent: tied to the embeddings
  std::string_view output_norm = "output_norm.weight";
  std::string_view output_norm_bias;

  TensorName attention_norm = {"attn_norm.weight"};
  TensorName attention_norm_bias = {};
  TensorName q = {"attn_q.weight"};
  TensorName k = {"attn_k.weight"};
  TensorName v = {"attn_v.weight"};
  TensorName q_bias = {};
  TensorName k_bias = {};
  TensorName v_bias = {};
  TensorName q_norm = {};  // of each head
  TensorName k_norm = {};
  TensorName attention_output = {"attn_output.weight"};
  TensorName attention_output_bias = {};
  TensorName attention_post_norm = {};  // of what attention adds to the stream

  TensorName ffn_norm = {"ffn_norm.weight"};
  TensorName ffn_norm_bias = {};
  TensorName gate = {"ffn_gate.weight"};  // empty: up alone is activated
  TensorName up = {"ffn_up.weight"};
  TensorName up_bias = {};
  TensorName down = {"ffn_down.weight"};
  TensorName down_bias = {};
  TensorName ffn_post_norm = {};
};

// How one kind of file has a family.
struct FileForm {
  std::string_view name;  // general.architecture of a GGUF, model_type of a config.json
  TensorNames names;
  RopePairing pairing = RopePairing::kHalves;
  float norm_offset = 0.0f;  // added to the weights of norms: some are stored as distances from 1
};

struct Architecture {
  std::string_view name;
  FileForm gguf;  // no name: there are no such files
  FileForm hugging_face;
  NormKind norm = NormKind::kRms;
  ActivationKind activation = ActivationKind::kSilu;
  bool parallel_residual = false;  // where the file does not say
  bool scaled_embeddings = false;  // by sqrt(hidden_dim)
  // Layers are windowed but for each `full_every`-th, where the file does not say; 0: none are.
  int full_every = 0;
  double window_theta = 10000.0;  // of windowed layers
};

// All families that can be loaded.
std::span<const Architecture> Architectures();

// INVALID_ARGUMENT for a family that is not in the table.
absl::StatusOr<const Architecture*> FindGgufArchitecture(std::string_view name);
absl::StatusOr<const Architecture*> FindHuggingFaceArchitecture(std::string_view model_type);

}  // namespace dki::model
