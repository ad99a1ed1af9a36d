// SPDX-License-Identifier: Apache-2.0
// A GGUF file as a model.
#include "libs/model/gguf_model.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "kernels/attention.h"
#include "libs/base/sha256.h"
#include "libs/model/config_check.h"
#include "libs/model/gguf.h"
#include "libs/model/key_reader.h"

namespace dki::model {
namespace {

using kernels::DType;

std::optional<DType> ToDType(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return DType::kF32;
    case GgmlType::kF16:
      return DType::kF16;
    case GgmlType::kBF16:
      return DType::kBF16;
    case GgmlType::kQ8_0:
      return DType::kQ8_0;
    case GgmlType::kQ4_0:
      return DType::kQ4_0;
    case GgmlType::kQ4_1:
      return DType::kQ4_1;
    case GgmlType::kQ5_0:
      return DType::kQ5_0;
    case GgmlType::kQ5_1:
      return DType::kQ5_1;
    case GgmlType::kQ4_K:
      return DType::kQ4_K;
    case GgmlType::kQ5_K:
      return DType::kQ5_K;
    case GgmlType::kQ6_K:
      return DType::kQ6_K;
  }
  return std::nullopt;
}

class GgufTensors : public TensorSource {
 public:
  explicit GgufTensors(const GgufFile* file) : file_(*file) {}

  bool Has(std::string_view name) const override { return file_.HasTensor(name); }

  absl::StatusOr<TensorView> Get(std::string_view name) const override {
    absl::StatusOr<GgufTensor> tensor = file_.GetTensor(name);
    if (!tensor.ok())
      return InvalidArgument("tensor %s: %s", name, ToStd(tensor.status().message()));
    const std::optional<DType> dtype = ToDType(tensor->type);
    if (!dtype || tensor->n_dims > 2)
      return InvalidArgument("tensor %s has %d dimensions, at most 2 are allowed", name,
                             tensor->n_dims);
    return TensorView{.dtype = *dtype,
                      .n_rows = tensor->dims[1],
                      .n_columns = tensor->dims[0],
                      .data = tensor->data};
  }

 private:
  const GgufFile& file_;
};

void ReadWindow(const Architecture& architecture, KeyReader<GgufFile>& keys, ModelConfig* config) {
  // A window is a key of many files; only families that use it have a row for it.
  const int window = keys.IntOr("attention.sliding_window", 0, 0, kMaxContext);
  if (architecture.full_every == 0) {
    if (window > 0 && window < config->context_length) {
      keys.Fail(
          InvalidArgument("%s %d is not supported", keys.Key("attention.sliding_window"), window));
    }
    return;
  }
  config->window = window;
  if (window == 0) return;
  const int full_every =
      keys.IntOr("attention.sliding_window_pattern", architecture.full_every, 1, kMaxLayers);
  SetWindowedLayers(full_every, config);
  config->window_rope.n_rot = config->rope.n_rot;
  config->window_rope.theta =
      keys.FloatOr("rope.freq_base_swa", architecture.window_theta, 0.0, 1e12);
}

// Scaling of rotary positions, of layers that are not windowed.
absl::Status ReadRopeFactors(const GgufTensors& tensors, KeyReader<GgufFile>& keys,
                             RopeConfig* rope) {
  const std::string scaling = keys.StringOr("rope.scaling.type", "none");
  if (scaling == "linear") {
    rope->factors.assign(rope->n_rot / 2,
                         static_cast<float>(keys.Float("rope.scaling.factor", 0.0, 1e6)));
  } else if (scaling != "none") {
    return InvalidArgument("%s \"%s\" is not supported", keys.Key("rope.scaling.type"),
                           scaling.substr(0, 64));
  }
  constexpr std::string_view kFactors = "rope_freqs.weight";
  if (!tensors.Has(kFactors)) return absl::OkStatus();
  DKI_ASSIGN_OR_RETURN(const TensorView factors, tensors.Get(kFactors));
  if (factors.dtype != DType::kF32 || factors.n_rows != 1 || factors.n_columns != rope->n_rot / 2) {
    return InvalidArgument("tensor %s is not F32 [%d]", kFactors, rope->n_rot / 2);
  }
  rope->factors.resize(factors.n_columns);
  std::memcpy(rope->factors.data(), factors.data, factors.n_columns * sizeof(float));
  return absl::OkStatus();
}

class GgufModel : public ModelFiles {
 public:
  GgufModel(GgufFile file, const Architecture* architecture)
      : file_(std::move(file)), architecture_(*architecture), tensors_(&file_) {}

  const Architecture& architecture() const override { return architecture_; }
  const FileForm& form() const override { return architecture_.gguf; }
  const TensorSource& tensors() const override { return tensors_; }

  absl::StatusOr<ModelConfig> ReadConfig() const override {
    KeyReader<GgufFile> keys(file_, std::string(form().name) + ".");
    ModelConfig config;
    if (absl::StatusOr<std::string_view> name = file_.GetString("general.name"); name.ok())
      config.name = *name;
    config.n_layers = keys.Int("block_count", 1, kMaxLayers);
    config.hidden_dim = keys.Int("embedding_length", 1, kMaxHiddenDim);
    config.ffn_dim = keys.Int("feed_forward_length", 1, kMaxFfnDim);
    config.context_length = keys.Int("context_length", 1, kMaxContext);
    config.n_heads = keys.Int("attention.head_count", 1, kMaxHeads);
    config.n_kv_heads = keys.IntOr("attention.head_count_kv", config.n_heads, 1, kMaxHeads);
    config.head_dim = keys.IntOr("attention.key_length", config.hidden_dim / config.n_heads, 1,
                                 kernels::kMaxHeadDim);
    const int value_dim =
        keys.IntOr("attention.value_length", config.head_dim, 1, kernels::kMaxHeadDim);
    ApplyArchitecture(architecture_, form(), &config);
    config.norm_epsilon = static_cast<float>(keys.Float(config.norm == NormKind::kRms
                                                            ? "attention.layer_norm_rms_epsilon"
                                                            : "attention.layer_norm_epsilon",
                                                        0.0, 1.0));
    config.attention_scale =
        static_cast<float>(keys.FloatOr("attention.scale", config.attention_scale, 0.0, 1e6));
    config.parallel_residual = keys.BoolOr("use_parallel_residual", config.parallel_residual);
    config.rope.theta = keys.FloatOr("rope.freq_base", 10000.0, 0.0, 1e12);
    config.rope.n_rot =
        keys.IntOr("rope.dimension_count", config.head_dim, 2, kernels::kMaxHeadDim);
    ReadWindow(architecture_, keys, &config);
    if (keys.IntOr("expert_count", 0, 0, kMaxLayers) > 0)
      keys.Fail(InvalidArgument("%s: experts are not supported", keys.Key("expert_count")));
    DKI_RETURN_IF_ERROR(keys.status());

    if (!keys.Has("attention.key_length") && config.hidden_dim % config.n_heads != 0) {
      return InvalidArgument("%s %d is not a multiple of %d heads", keys.Key("embedding_length"),
                             config.hidden_dim, config.n_heads);
    }
    if (value_dim != config.head_dim) {
      return InvalidArgument("%s %d differs from the %d channels of a key",
                             keys.Key("attention.value_length"), value_dim, config.head_dim);
    }
    DKI_RETURN_IF_ERROR(ReadRopeFactors(tensors_, keys, &config.rope));
    DKI_RETURN_IF_ERROR(keys.status());
    DKI_RETURN_IF_ERROR(ReadVocabularySize(tensors_, form().names, &config));
    DKI_RETURN_IF_ERROR(CheckConfig(config));
    return config;
  }

  std::string Fingerprint() const override {
    Sha256 hash;
    hash.Update(kArithmeticVersion);
    hash.Update(file_.bytes());
    return hash.FinishHex();
  }

 private:
  const GgufFile file_;
  const Architecture& architecture_;
  const GgufTensors tensors_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelFiles>> MakeGgufModel(GgufFile file) {
  const absl::StatusOr<std::string_view> family = file.GetString("general.architecture");
  if (!family.ok()) return InvalidArgument("general.architecture is missing");
  DKI_ASSIGN_OR_RETURN(const Architecture* architecture, FindGgufArchitecture(*family));
  return std::make_unique<GgufModel>(std::move(file), architecture);
}

absl::StatusOr<std::unique_ptr<ModelFiles>> OpenGgufModel(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(path));
  auto model = MakeGgufModel(std::move(file));
  if (!model.ok()) return Annotate(model.status(), path);
  return model;
}

}  // namespace dki::model
