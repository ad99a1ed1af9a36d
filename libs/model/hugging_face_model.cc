// SPDX-License-Identifier: Apache-2.0
#include "libs/model/hugging_face_model.h"

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "kernels/attention.h"
#include "libs/base/file.h"
#include "libs/base/sha256.h"
#include "libs/model/config_check.h"
#include "libs/model/json_config.h"
#include "libs/model/key_reader.h"
#include "libs/model/safetensors_source.h"

namespace dki::model {
namespace {

using Keys = KeyReader<JsonConfig>;

// The first of several names that a value has had in the course of time.
std::string_view FirstOf(const Keys& keys, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (keys.Has(name)) return name;
  }
  return *names.begin();
}

// Llama 3 slows down the pairs that turn less than low_freq_factor times within the original window
// by `factor`, leaves those that turn more than high_freq_factor times as they are, and blends
// between.
float Llama3Factor(double frequency, double factor, double low, double high, double original) {
  const double turns = original * frequency / (2 * std::numbers::pi);
  if (turns < low) return static_cast<float>(factor);
  if (turns > high) return 1.0f;
  const double smooth = (turns - low) / (high - low);
  return static_cast<float>(1.0 / ((1.0 - smooth) / factor + smooth));
}

// `scaling` is the prefix of the keys that say how positions are scaled.
absl::Status ReadScaling(const std::string& scaling, Keys& keys, RopeConfig* rope,
                         int* context_length) {
  const std::string type_key(FirstOf(keys, {scaling + "rope_type", scaling + "type"}));
  const std::string type = keys.StringOr(type_key, "default");
  if (type == "default") return absl::OkStatus();
  if (type == "dynamic") {
    // Within the original window nothing is scaled; beyond, the frequencies would depend on the
    // length, and cached keys would be wrong.
    const int original =
        keys.IntOr(scaling + "original_max_position_embeddings", *context_length, 1, kMaxContext);
    *context_length = std::min(*context_length, original);
    return absl::OkStatus();
  }
  const double factor = keys.Float(scaling + "factor", 0.0, 1e6);
  const int n = rope->n_rot / 2;
  if (type == "linear") {
    rope->factors.assign(n, static_cast<float>(factor));
    return absl::OkStatus();
  }
  if (type != "llama3")
    return InvalidArgument("'%s' \"%s\" is not supported", type_key, type.substr(0, 64));
  const double low = keys.Float(scaling + "low_freq_factor", 0.0, 1e6);
  const double high = keys.Float(scaling + "high_freq_factor", 0.0, 1e6);
  const int original = keys.Int(scaling + "original_max_position_embeddings", 1, kMaxContext);
  DKI_RETURN_IF_ERROR(keys.status());
  if (low >= high)
    return InvalidArgument("'%slow_freq_factor' is not below high_freq_factor", scaling);
  for (int i = 0; i < n; ++i) {
    const double frequency = std::pow(rope->theta, -2.0 * i / rope->n_rot);
    rope->factors.push_back(Llama3Factor(frequency, factor, low, high, original));
  }
  return absl::OkStatus();
}

// The rotary positions of full and windowed layers. Newer files keep all of it in rope_parameters,
// by kind of layer where there are two.
absl::Status ReadRope(const Architecture& architecture, Keys& keys, ModelConfig* config) {
  std::string full = "rope_parameters.", windowed = full;
  const bool by_kind = keys.Has("rope_parameters.full_attention.rope_theta");
  if (by_kind) {
    windowed = full + "sliding_attention.";
    full += "full_attention.";
  }
  const double fraction = keys.FloatOr(
      FirstOf(keys, {"partial_rotary_factor", "rotary_pct", full + "partial_rotary_factor"}), 1.0,
      0.0, 1.0);
  config->rope.n_rot = config->window_rope.n_rot = static_cast<int>(config->head_dim * fraction);
  config->rope.theta = keys.FloatOr(
      FirstOf(keys, {full + "rope_theta", "rope_theta", "rotary_emb_base"}), 10000.0, 0.0, 1e12);
  // Only families with a rule of their own have other positions in windowed layers.
  const double absent =
      architecture.full_every > 0 ? architecture.window_theta : config->rope.theta;
  config->window_rope.theta = by_kind ? keys.FloatOr(windowed + "rope_theta", absent, 0.0, 1e12)
                                      : keys.FloatOr("rope_local_base_freq", absent, 0.0, 1e12);
  const std::string scaling(keys.Has(full + "rope_type") ? full : "rope_scaling.");
  DKI_RETURN_IF_ERROR(ReadScaling(scaling, keys, &config->rope, &config->context_length));
  if (by_kind) return ReadScaling(windowed, keys, &config->window_rope, &config->context_length);
  if (architecture.full_every == 0) config->window_rope.factors = config->rope.factors;
  return absl::OkStatus();
}

absl::Status ReadWindow(const Architecture& architecture, Keys& keys, ModelConfig* config) {
  if (keys.Has("layer_types.0")) {
    config->windowed.assign(config->n_layers, false);
    for (int layer = 0; layer < config->n_layers; ++layer) {
      const std::string key = absl::StrFormat("layer_types.%d", layer);
      const std::string type = keys.StringOr(key, "");
      if (type != "full_attention" && type != "sliding_attention")
        return InvalidArgument("'%s' \"%s\" is not supported", key, type.substr(0, 64));
      config->windowed[layer] = type == "sliding_attention";
    }
  } else if (architecture.full_every > 0) {
    SetWindowedLayers(
        keys.IntOr(FirstOf(keys, {"sliding_window_pattern", "_sliding_window_pattern"}),
                   architecture.full_every, 1, kMaxLayers),
        config);
  } else if (keys.BoolOr("use_sliding_window", false)) {
    return InvalidArgument("'use_sliding_window' needs 'layer_types'");
  }
  bool any = false;
  for (const bool windowed : config->windowed) any |= windowed;
  if (any) config->window = keys.Int("sliding_window", 1, kMaxContext);
  return absl::OkStatus();
}

absl::Status ReadActivation(Keys& keys, ModelConfig* config) {
  const std::string key(FirstOf(keys, {"hidden_activation", "hidden_act"}));
  if (!keys.Has(key)) return absl::OkStatus();
  const std::string name = keys.StringOr(key, "");
  if (name == "silu" || name == "swish") {
    config->activation = ActivationKind::kSilu;
  } else if (name == "gelu") {
    config->activation = ActivationKind::kGelu;
  } else if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast") {
    config->activation = ActivationKind::kGeluTanh;
  } else {
    return InvalidArgument("'%s' \"%s\" is not supported", key, name.substr(0, 64));
  }
  return absl::OkStatus();
}

// What this runtime would compute wrongly rather than not at all.
absl::Status RejectUnsupported(Keys& keys) {
  for (const char* key : {"final_logit_softcapping", "attn_logit_softcapping", "logit_scale",
                          "num_experts", "num_local_experts"}) {
    if (keys.Has(key)) return InvalidArgument("'%s' is not supported", key);
  }
  if (keys.BoolOr("mlp_bias", false)) return InvalidArgument("'mlp_bias' is not supported");
  if (keys.BoolOr("use_bidirectional_attention", false))
    return InvalidArgument("'use_bidirectional_attention' is not supported");
  return absl::OkStatus();
}

class HuggingFaceModel : public ModelFiles {
 public:
  HuggingFaceModel(std::vector<std::string> texts, JsonConfig json,
                   std::unique_ptr<SafetensorsSource> tensors, const Architecture* architecture)
      : texts_(std::move(texts)),
        json_(std::move(json)),
        tensors_(std::move(tensors)),
        architecture_(*architecture) {}

  const Architecture& architecture() const override { return architecture_; }
  const FileForm& form() const override { return architecture_.hugging_face; }
  const TensorSource& tensors() const override { return *tensors_; }

  absl::StatusOr<ModelConfig> ReadConfig() const override {
    Keys keys(json_, "");
    ModelConfig config;
    config.name = keys.StringOr("_name_or_path", "");
    config.n_layers = keys.Int("num_hidden_layers", 1, kMaxLayers);
    config.hidden_dim = keys.Int("hidden_size", 1, kMaxHiddenDim);
    config.ffn_dim = keys.Int("intermediate_size", 1, kMaxFfnDim);
    config.context_length = keys.Int("max_position_embeddings", 1, kMaxContext);
    config.n_heads = keys.Int("num_attention_heads", 1, kMaxHeads);
    config.n_kv_heads = keys.IntOr("num_key_value_heads", config.n_heads, 1, kMaxHeads);
    config.head_dim =
        keys.IntOr("head_dim", config.hidden_dim / config.n_heads, 1, kernels::kMaxHeadDim);
    ApplyArchitecture(architecture_, form(), &config);
    config.norm_epsilon = static_cast<float>(
        keys.Float(config.norm == NormKind::kRms ? "rms_norm_eps" : "layer_norm_eps", 0.0, 1.0));
    config.parallel_residual = keys.BoolOr("use_parallel_residual", config.parallel_residual);
    if (keys.Has("query_pre_attn_scalar")) {
      config.attention_scale =
          static_cast<float>(1.0 / std::sqrt(keys.Float("query_pre_attn_scalar", 1e-6, 1e6)));
    }
    DKI_RETURN_IF_ERROR(ReadActivation(keys, &config));
    DKI_RETURN_IF_ERROR(RejectUnsupported(keys));
    DKI_RETURN_IF_ERROR(ReadWindow(architecture_, keys, &config));
    DKI_RETURN_IF_ERROR(ReadRope(architecture_, keys, &config));
    DKI_RETURN_IF_ERROR(keys.status());
    if (!keys.Has("head_dim") && config.hidden_dim % config.n_heads != 0) {
      return InvalidArgument("'hidden_size' %d is not a multiple of %d heads", config.hidden_dim,
                             config.n_heads);
    }
    DKI_RETURN_IF_ERROR(ReadVocabularySize(*tensors_, form().names, &config));
    config.tied_embeddings = keys.BoolOr("tie_word_embeddings", config.tied_embeddings);
    DKI_RETURN_IF_ERROR(keys.status());
    DKI_RETURN_IF_ERROR(CheckConfig(config));
    return config;
  }

  std::string Fingerprint() const override {
    Sha256 hash;
    hash.Update(kArithmeticVersion);
    for (const std::string& text : texts_) hash.Update(text);
    for (const SafetensorsFile& file : tensors_->files()) hash.Update(file.bytes());
    return hash.FinishHex();
  }

 private:
  const std::vector<std::string> texts_;  // config.json and tokenizer.json
  const JsonConfig json_;
  const std::unique_ptr<SafetensorsSource> tensors_;
  const Architecture& architecture_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelFiles>> OpenHuggingFaceModel(const std::string& folder) {
  const auto in_config = [&](const absl::Status& status) {
    return Annotate(status, folder + "/config.json");
  };
  DKI_ASSIGN_OR_RETURN(std::string config, ReadFile(folder + "/config.json"));
  DKI_ASSIGN_OR_RETURN(std::string tokenizer, ReadFile(folder + "/tokenizer.json"));
  absl::StatusOr<JsonConfig> json = JsonConfig::Parse(config);
  if (!json.ok()) return in_config(json.status());
  const absl::StatusOr<std::string_view> type = json->GetString("model_type");
  if (!type.ok()) return in_config(InvalidArgument("'model_type' is missing"));
  absl::StatusOr<const Architecture*> architecture = FindHuggingFaceArchitecture(*type);
  if (!architecture.ok()) return in_config(architecture.status());
  DKI_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsSource> tensors, SafetensorsSource::Open(folder));
  std::vector<std::string> texts;
  texts.push_back(std::move(config));
  texts.push_back(std::move(tokenizer));
  return std::make_unique<HuggingFaceModel>(std::move(texts), *std::move(json), std::move(tensors),
                                            *architecture);
}

}  // namespace dki::model
