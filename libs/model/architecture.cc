// SPDX-License-Identifier: Apache-2.0
#include "libs/model/architecture.h"

#include "kernels/attention.h"

namespace dki::model {
namespace {

constexpr Architecture kArchitectures[] = {
    // Converters permute the q and k rows of Llama for interleaved pairs.
    {.name = "llama", .pairing = RopePairing::kInterleaved, .qkv_bias = false},
    {.name = "qwen2", .pairing = RopePairing::kHalves, .qkv_bias = true},
};

// Reads "<family>.<name>" keys and remembers the first failure.
class KeyReader {
 public:
  KeyReader(const GgufFile& file, std::string_view family) : file_(file), family_(family) {}

  int Int(std::string_view name, int min, int max) {
    const std::string key = Key(name);
    absl::StatusOr<uint64_t> value = file_.GetUint(key);
    if (!value.ok()) return Fail(value.status()), min;
    if (*value < static_cast<uint64_t>(min) || *value > static_cast<uint64_t>(max)) {
      Fail(InvalidArgument("%s is %u, it must be between %d and %d", key, *value, min, max));
      return min;
    }
    return static_cast<int>(*value);
  }
  int IntOr(std::string_view name, int absent, int min, int max) {
    return file_.Has(Key(name)) ? Int(name, min, max) : absent;
  }
  // min < value <= max
  double Float(std::string_view name, double min, double max) {
    const std::string key = Key(name);
    absl::StatusOr<double> value = file_.GetFloat(key);
    if (!value.ok()) return Fail(value.status()), max;
    if (!(*value > min && *value <= max)) {
      Fail(InvalidArgument("%s is %g, it must be above %g and at most %g", key, *value, min, max));
      return max;
    }
    return *value;
  }
  double FloatOr(std::string_view name, double absent, double min, double max) {
    return file_.Has(Key(name)) ? Float(name, min, max) : absent;
  }
  bool Has(std::string_view name) const { return file_.Has(Key(name)); }
  std::string Key(std::string_view name) const {
    return std::string(family_) + "." + std::string(name);
  }
  void Fail(const absl::Status& status) {
    if (status_.ok())
      status_ = absl::IsNotFound(status) ? InvalidArgument("%s", ToStd(status.message())) : status;
  }
  const absl::Status& status() const { return status_; }

 private:
  const GgufFile& file_;
  std::string_view family_;
  absl::Status status_;
};

// What this runtime would compute wrongly rather than not at all.
absl::Status RejectUnsupported(const GgufFile& file, const KeyReader& keys, int context_length) {
  const std::string scaling = keys.Key("rope.scaling.type");
  if (file.Has(scaling)) {
    DKI_ASSIGN_OR_RETURN(const std::string_view type, file.GetString(scaling));
    if (type != "none") return InvalidArgument("%s \"%s\" is not supported", scaling, type);
  }
  for (const char* name : {"expert_count", "attention.sliding_window"}) {
    const std::string key = keys.Key(name);
    if (!file.Has(key)) continue;
    DKI_ASSIGN_OR_RETURN(const uint64_t value, file.GetUint(key));
    const bool harmless = value == 0 || (std::string_view(name) == "attention.sliding_window" &&
                                         value >= static_cast<uint64_t>(context_length));
    if (!harmless) return InvalidArgument("%s %u is not supported", key, value);
  }
  return absl::OkStatus();
}

}  // namespace

std::span<const Architecture> Architectures() {
  return kArchitectures;
}

absl::StatusOr<const Architecture*> FindArchitecture(std::string_view name) {
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
    known += (known.empty() ? "" : ", ") + std::string(architecture.name);
  }
  return InvalidArgument("general.architecture \"%s\" is not supported (known: %s)", name, known);
}

absl::StatusOr<ModelConfig> ReadConfig(const GgufFile& file, const Architecture& architecture) {
  KeyReader keys(file, architecture.name);
  ModelConfig config;
  config.architecture = architecture.name;
  if (absl::StatusOr<std::string_view> name = file.GetString("general.name"); name.ok())
    config.name = *name;
  config.n_layers = keys.Int("block_count", 1, 1024);
  config.hidden_dim = keys.Int("embedding_length", 1, 1 << 16);
  config.ffn_dim = keys.Int("feed_forward_length", 1, 1 << 18);
  config.context_length = keys.Int("context_length", 1, 1 << 22);
  config.n_heads = keys.Int("attention.head_count", 1, 1024);
  config.n_kv_heads = keys.IntOr("attention.head_count_kv", config.n_heads, 1, 1024);
  config.head_dim = keys.IntOr("attention.key_length", config.hidden_dim / config.n_heads, 1,
                               kernels::kMaxHeadDim);
  const int value_dim =
      keys.IntOr("attention.value_length", config.head_dim, 1, kernels::kMaxHeadDim);
  config.norm_epsilon =
      static_cast<float>(keys.Float("attention.layer_norm_rms_epsilon", 0.0, 1.0));
  config.rope.pairing = architecture.pairing;
  config.rope.theta = keys.FloatOr("rope.freq_base", 10000.0, 0.0, 1e12);
  config.rope.n_rot = keys.IntOr("rope.dimension_count", config.head_dim, 2, kernels::kMaxHeadDim);
  DKI_RETURN_IF_ERROR(keys.status());

  if (config.n_heads % config.n_kv_heads != 0) {
    return InvalidArgument("%d heads are not a multiple of %d K/V heads", config.n_heads,
                           config.n_kv_heads);
  }
  if (!keys.Has("attention.key_length") && config.hidden_dim % config.n_heads != 0) {
    return InvalidArgument("%s %d is not a multiple of %d heads", keys.Key("embedding_length"),
                           config.hidden_dim, config.n_heads);
  }
  if (config.head_dim < 2 || config.head_dim > kernels::kMaxHeadDim) {
    return InvalidArgument("a head has %d channels, it must have between 2 and %d", config.head_dim,
                           kernels::kMaxHeadDim);
  }
  if (value_dim != config.head_dim) {
    return InvalidArgument("%s %d differs from the %d channels of a key",
                           keys.Key("attention.value_length"), value_dim, config.head_dim);
  }
  if (config.rope.n_rot % 2 != 0 || config.rope.n_rot > config.head_dim) {
    return InvalidArgument("%s %d must be even and at most %d", keys.Key("rope.dimension_count"),
                           config.rope.n_rot, config.head_dim);
  }
  DKI_RETURN_IF_ERROR(RejectUnsupported(file, keys, config.context_length));

  DKI_ASSIGN_OR_RETURN(const GgufTensor embeddings, file.GetTensor(kTensorNames.embeddings));
  constexpr int kMaxVocabulary = 1 << 22;
  if (embeddings.n_dims != 2 || embeddings.dims[1] < 1 || embeddings.dims[1] > kMaxVocabulary) {
    return InvalidArgument("%s must be a matrix of at most %d rows", kTensorNames.embeddings,
                           kMaxVocabulary);
  }
  config.vocab_size = static_cast<int>(embeddings.dims[1]);
  config.tied_embeddings = !file.HasTensor(kTensorNames.output);
  return config;
}

}  // namespace dki::model
