// SPDX-License-Identifier: Apache-2.0
#include "libs/model/weights.h"

#include <optional>

#include "libs/base/sha256.h"

namespace dki::model {
namespace {

using kernels::DType;
using kernels::WeightMatrix;

// To be changed whenever the same file begins to give other K/V than rounding explains.
constexpr std::string_view kArithmeticVersion = "dki-model-2";

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

// Reads tensors and remembers the first failure, so that a table of reads stays a table.
class TensorReader {
 public:
  explicit TensorReader(const GgufFile& file) : file_(file) {}

  WeightMatrix Matrix(const std::string& name, int n_out, int n_in) {
    const std::optional<GgufTensor> tensor = Find(name, 2, n_in, n_out);
    if (!tensor.has_value()) return {};
    const std::optional<DType> dtype = ToDType(tensor->type);
    if (!dtype.has_value() || n_in % kernels::BlockValues(*dtype) != 0 ||
        tensor->n_bytes != kernels::RowBytes(*dtype, n_in) * n_out) {
      Fail(InvalidArgument("tensor %s: format %s does not fit rows of %d values", name,
                           NameOf(tensor->type), n_in));
      return {};
    }
    return {.dtype = *dtype, .n_out = n_out, .k = n_in, .data = tensor->data};
  }

  const float* Vector(const std::string& name, int n) {
    const std::optional<GgufTensor> tensor = Find(name, 1, n, 1);
    if (!tensor.has_value()) return nullptr;
    if (tensor->type != GgmlType::kF32) {
      Fail(InvalidArgument("tensor %s must be F32, it is %s", name, NameOf(tensor->type)));
      return nullptr;
    }
    return reinterpret_cast<const float*>(tensor->data);
  }

  const absl::Status& status() const { return status_; }

 private:
  std::optional<GgufTensor> Find(const std::string& name, int n_dims, int64_t d0, int64_t d1) {
    absl::StatusOr<GgufTensor> tensor = file_.GetTensor(name);
    if (!tensor.ok()) {
      Fail(InvalidArgument("tensor %s: %s", name, ToStd(tensor.status().message())));
      return std::nullopt;
    }
    if (tensor->n_dims > n_dims || tensor->dims[0] != d0 || tensor->dims[1] != d1) {
      Fail(InvalidArgument("tensor %s is [%d, %d], it must be [%d, %d]", name, tensor->dims[1],
                           tensor->dims[0], d1, d0));
      return std::nullopt;
    }
    return *tensor;
  }
  void Fail(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }

  const GgufFile& file_;
  absl::Status status_;
};

LayerWeights ReadLayer(TensorReader& read, const Architecture& architecture,
                       const ModelConfig& config, int layer) {
  const auto name = [layer](std::string_view suffix) {
    return absl::StrFormat("blk.%d.%s", layer, suffix);
  };
  const TensorNames& names = kTensorNames;
  const int hidden = config.hidden_dim;
  const int q_dim = config.n_heads * config.head_dim;
  const int kv_dim = config.n_kv_heads * config.head_dim;
  LayerWeights w;
  w.attention_norm = read.Vector(name(names.attention_norm), hidden);
  w.q = read.Matrix(name(names.q), q_dim, hidden);
  w.k = read.Matrix(name(names.k), kv_dim, hidden);
  w.v = read.Matrix(name(names.v), kv_dim, hidden);
  if (architecture.qkv_bias) {
    w.q_bias = read.Vector(name(names.q_bias), q_dim);
    w.k_bias = read.Vector(name(names.k_bias), kv_dim);
    w.v_bias = read.Vector(name(names.v_bias), kv_dim);
  }
  w.attention_output = read.Matrix(name(names.attention_output), hidden, q_dim);
  w.ffn_norm = read.Vector(name(names.ffn_norm), hidden);
  w.gate = read.Matrix(name(names.ffn_gate), config.ffn_dim, hidden);
  w.up = read.Matrix(name(names.ffn_up), config.ffn_dim, hidden);
  w.down = read.Matrix(name(names.ffn_down), hidden, config.ffn_dim);
  return w;
}

}  // namespace

absl::StatusOr<Weights> ReadWeights(const GgufFile& file, const Architecture& architecture,
                                    const ModelConfig& config) {
  TensorReader read(file);
  Weights w;
  w.embeddings =
      read.Matrix(std::string(kTensorNames.embeddings), config.vocab_size, config.hidden_dim);
  w.output = config.tied_embeddings ? w.embeddings
                                    : read.Matrix(std::string(kTensorNames.output),
                                                  config.vocab_size, config.hidden_dim);
  w.output_norm = read.Vector(std::string(kTensorNames.output_norm), config.hidden_dim);
  if (file.HasTensor(kTensorNames.rope_factors)) {
    const int n = config.rope.n_rot / 2;
    w.rope_factors = read.Vector(std::string(kTensorNames.rope_factors), n);
    for (int i = 0; w.rope_factors != nullptr && i < n; ++i) {
      if (!(w.rope_factors[i] >= 1e-6f && w.rope_factors[i] <= 1e6f))
        return InvalidArgument("tensor %s: factor %d is %g", kTensorNames.rope_factors, i,
                               w.rope_factors[i]);
    }
  }
  for (int layer = 0; layer < config.n_layers && read.status().ok(); ++layer)
    w.layers.push_back(ReadLayer(read, architecture, config, layer));
  DKI_RETURN_IF_ERROR(read.status());
  return w;
}

size_t ProductBytes(const Weights& weights) {
  const auto bytes = [](const kernels::WeightMatrix& w) {
    return kernels::RowBytes(w.dtype, w.k) * w.n_out;
  };
  size_t total = bytes(weights.output);
  for (const LayerWeights& layer : weights.layers) {
    for (const kernels::WeightMatrix* w : {&layer.q, &layer.k, &layer.v, &layer.attention_output,
                                           &layer.gate, &layer.up, &layer.down})
      total += bytes(*w);
  }
  return total;
}

std::string Fingerprint(const GgufFile& file) {
  Sha256 hash;
  hash.Update(kArithmeticVersion);
  hash.Update(file.bytes());
  return hash.FinishHex();
}

}  // namespace dki::model
