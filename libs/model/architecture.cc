// SPDX-License-Identifier: Apache-2.0
#include "libs/model/architecture.h"

#include <string>

namespace dki::model {
namespace {

// GGUF's names are the defaults of TensorNames; a family adds what it has beyond them.
constexpr TensorNames kGguf;

constexpr TensorName Optional(std::string_view name) {
  return {.name = name, .optional = true};
}

constexpr TensorNames kGgufLlama = [] {
  TensorNames n = kGguf;
  n.q_bias = Optional("attn_q.bias");
  n.k_bias = Optional("attn_k.bias");
  n.v_bias = Optional("attn_v.bias");
  n.attention_output_bias = Optional("attn_output.bias");
  return n;
}();

constexpr TensorNames kGgufQwen2 = [] {
  TensorNames n = kGguf;
  n.q_bias = {"attn_q.bias"};
  n.k_bias = {"attn_k.bias"};
  n.v_bias = {"attn_v.bias"};
  return n;
}();

constexpr TensorNames kGgufQwen3 = [] {
  TensorNames n = kGgufLlama;
  n.q_norm = {"attn_q_norm.weight"};
  n.k_norm = {"attn_k_norm.weight"};
  return n;
}();

constexpr TensorNames kGgufGemma3 = [] {
  TensorNames n = kGgufQwen3;
  n.attention_post_norm = {"post_attention_norm.weight"};
  n.ffn_post_norm = {"post_ffw_norm.weight"};
  return n;
}();

constexpr TensorNames kGgufGlm4 = [] {
  TensorNames n = kGgufLlama;
  n.attention_post_norm = {"post_attention_norm.weight"};
  n.gate = {"ffn_up.weight", 0, 2};
  n.up = {"ffn_up.weight", 1, 2};
  n.ffn_post_norm = {"post_ffw_norm.weight"};
  return n;
}();

constexpr TensorNames kGgufGptNeoX = [] {
  TensorNames n = kGguf;
  n.output_norm_bias = "output_norm.bias";
  n.attention_norm_bias = {"attn_norm.bias"};
  n.q = {"attn_qkv.weight", 0, 3};
  n.k = {"attn_qkv.weight", 1, 3};
  n.v = {"attn_qkv.weight", 2, 3};
  n.q_bias = {"attn_qkv.bias", 0, 3};
  n.k_bias = {"attn_qkv.bias", 1, 3};
  n.v_bias = {"attn_qkv.bias", 2, 3};
  n.attention_output_bias = {"attn_output.bias"};
  n.ffn_norm_bias = {"ffn_norm.bias"};
  n.gate = {};
  n.up_bias = {"ffn_up.bias"};
  n.down_bias = {"ffn_down.bias"};
  return n;
}();

constexpr TensorNames kLlama = [] {
  TensorNames n;
  n.layer = "model.layers.";
  n.embeddings = "model.embed_tokens.weight";
  n.output = "lm_head.weight";
  n.output_norm = "model.norm.weight";
  n.attention_norm = {"input_layernorm.weight"};
  n.q = {"self_attn.q_proj.weight"};
  n.k = {"self_attn.k_proj.weight"};
  n.v = {"self_attn.v_proj.weight"};
  n.q_bias = Optional("self_attn.q_proj.bias");
  n.k_bias = Optional("self_attn.k_proj.bias");
  n.v_bias = Optional("self_attn.v_proj.bias");
  n.attention_output = {"self_attn.o_proj.weight"};
  n.attention_output_bias = Optional("self_attn.o_proj.bias");
  n.ffn_norm = {"post_attention_layernorm.weight"};
  n.gate = {"mlp.gate_proj.weight"};
  n.up = {"mlp.up_proj.weight"};
  n.down = {"mlp.down_proj.weight"};
  return n;
}();

constexpr TensorNames kQwen2 = [] {
  TensorNames n = kLlama;
  n.q_bias.optional = n.k_bias.optional = n.v_bias.optional = false;
  return n;
}();

constexpr TensorNames kQwen3 = [] {
  TensorNames n = kLlama;
  n.q_norm = {"self_attn.q_norm.weight"};
  n.k_norm = {"self_attn.k_norm.weight"};
  return n;
}();

constexpr TensorNames kGemma3 = [] {
  TensorNames n = kQwen3;
  n.attention_post_norm = {"post_attention_layernorm.weight"};
  n.ffn_norm = {"pre_feedforward_layernorm.weight"};
  n.ffn_post_norm = {"post_feedforward_layernorm.weight"};
  return n;
}();

// GLM-4-9B; from GLM-4-0414 on, norms follow attention and feed-forward as well.
constexpr TensorNames kGlm = [] {
  TensorNames n = kLlama;
  n.gate = {"mlp.gate_up_proj.weight", 0, 2};
  n.up = {"mlp.gate_up_proj.weight", 1, 2};
  return n;
}();
constexpr TensorNames kGlm4 = [] {
  TensorNames n = kGlm;
  n.attention_post_norm = {"post_self_attn_layernorm.weight"};
  n.ffn_post_norm = {"post_mlp_layernorm.weight"};
  return n;
}();

constexpr TensorNames kGptNeoX = [] {
  TensorNames n;
  n.layer = "gpt_neox.layers.";
  n.embeddings = "gpt_neox.embed_in.weight";
  n.output = "embed_out.weight";
  n.output_norm = "gpt_neox.final_layer_norm.weight";
  n.output_norm_bias = "gpt_neox.final_layer_norm.bias";
  n.attention_norm = {"input_layernorm.weight"};
  n.attention_norm_bias = {"input_layernorm.bias"};
  n.q = {"attention.query_key_value.weight", 0, 3, true};
  n.k = {"attention.query_key_value.weight", 1, 3, true};
  n.v = {"attention.query_key_value.weight", 2, 3, true};
  n.q_bias = {"attention.query_key_value.bias", 0, 3, true};
  n.k_bias = {"attention.query_key_value.bias", 1, 3, true};
  n.v_bias = {"attention.query_key_value.bias", 2, 3, true};
  n.attention_output = {"attention.dense.weight"};
  n.attention_output_bias = {"attention.dense.bias"};
  n.ffn_norm = {"post_attention_layernorm.weight"};
  n.ffn_norm_bias = {"post_attention_layernorm.bias"};
  n.gate = {};
  n.up = {"mlp.dense_h_to_4h.weight"};
  n.up_bias = {"mlp.dense_h_to_4h.bias"};
  n.down = {"mlp.dense_4h_to_h.weight"};
  n.down_bias = {"mlp.dense_4h_to_h.bias"};
  return n;
}();

constexpr Architecture kArchitectures[] = {
    // Converters permute the q and k rows of Llama for interleaved pairs.
    {.name = "llama",
     .gguf = {"llama", kGgufLlama, RopePairing::kInterleaved},
     .hugging_face = {"llama", kLlama}},
    {.name = "qwen2", .gguf = {"qwen2", kGgufQwen2}, .hugging_face = {"qwen2", kQwen2}},
    {.name = "qwen3", .gguf = {"qwen3", kGgufQwen3}, .hugging_face = {"qwen3", kQwen3}},
    {.name = "gemma3",
     .gguf = {"gemma3", kGgufGemma3},
     .hugging_face = {"gemma3_text", kGemma3, RopePairing::kHalves, 1.0f},
     .activation = ActivationKind::kGeluTanh,
     .scaled_embeddings = true,
     .full_every = 6},
    {.name = "glm", .gguf = {}, .hugging_face = {"glm", kGlm, RopePairing::kInterleaved}},
    {.name = "glm4",
     .gguf = {"glm4", kGgufGlm4, RopePairing::kInterleaved},
     .hugging_face = {"glm4", kGlm4, RopePairing::kInterleaved}},
    {.name = "gptneox",
     .gguf = {"gptneox", kGgufGptNeoX},
     .hugging_face = {"gpt_neox", kGptNeoX},
     .norm = NormKind::kLayer,
     .activation = ActivationKind::kGelu,
     .parallel_residual = true},
};

absl::StatusOr<const Architecture*> Find(FileForm Architecture::*form, const char* key,
                                         std::string_view name) {
  std::string known;
  for (const Architecture& row : kArchitectures) {
    const std::string_view its_name = (row.*form).name;
    if (its_name.empty()) continue;
    if (its_name == name) return &row;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  return InvalidArgument("%s \"%s\" is not supported (known: %s)", key, name.substr(0, 64), known);
}

}  // namespace

std::span<const Architecture> Architectures() {
  return kArchitectures;
}

absl::StatusOr<const Architecture*> FindGgufArchitecture(std::string_view name) {
  return Find(&Architecture::gguf, "general.architecture", name);
}

absl::StatusOr<const Architecture*> FindHuggingFaceArchitecture(std::string_view model_type) {
  return Find(&Architecture::hugging_face, "model_type", model_type);
}

}  // namespace dki::model
