// SPDX-License-Identifier: Apache-2.0
#include "libs/model/weights.h"

#include <cstring>
#include <string>

namespace dki::model {
namespace {

using kernels::WeightMatrix;

// Reads tensors and remembers the first failure, so that a table of reads stays a table.
class TensorReader {
 public:
  TensorReader(const TensorSource& tensors, const FileForm& form, int head_dim, Weights* weights)
      : tensors_(tensors), form_(form), head_dim_(head_dim), weights_(*weights) {}

  // Names of the next reads stand behind the prefix of this layer; without a layer behind none.
  void SetLayer(int layer) {
    prefix_ = std::string(form_.names.layer) + std::to_string(layer) + ".";
  }

  WeightMatrix Matrix(const TensorName& name, int n_out, int n_in) {
    const TensorView view = Part(name, n_out, n_in);
    if (view.data == nullptr) return {};
    return {.dtype = view.dtype, .n_out = n_out, .k = n_in, .data = view.data};
  }

  // As floats.
  const float* Vector(const TensorName& name, int n) {
    const TensorView view = Part(name, n, 1);
    if (view.data == nullptr) return nullptr;
    float* values = reinterpret_cast<float*>(Own(static_cast<size_t>(n) * sizeof(float)));
    kernels::DequantizeRow(view.dtype, view.data, n, values);
    return values;
  }

  NormWeights Norm(const TensorName& weight, const TensorName& bias, int n) {
    NormWeights norm{Vector(weight, n), Vector(bias, n)};
    if (norm.weight != nullptr && form_.norm_offset != 0) {
      float* values = const_cast<float*>(norm.weight);  // just made
      for (int i = 0; i < n; ++i) values[i] += form_.norm_offset;
    }
    return norm;
  }

  const absl::Status& status() const { return status_; }

 private:
  // The named rows, of `n_columns` values; a vector counts as rows of one value. No data: the
  // family has no such tensor, or the reading failed.
  TensorView Part(const TensorName& name, int n_rows, int n_columns) {
    if (name.name.empty() || !status_.ok()) return {};
    const std::string full = prefix_ + std::string(name.name);
    if (name.optional && !tensors_.Has(full)) return {};
    absl::StatusOr<TensorView> whole = tensors_.Get(full);
    if (!whole.ok()) return Fail(whole.status());
    if (n_columns == 1 && whole->n_rows == 1) {
      if (kernels::IsQuantized(whole->dtype))
        return Fail(InvalidArgument("tensor %s: a vector of format %s is not supported", full,
                                    kernels::Name(whole->dtype)));
      std::swap(whole->n_rows, whole->n_columns);
    }
    const int64_t all_rows = int64_t{n_rows} * name.n_parts;
    if (whole->n_rows != all_rows || whole->n_columns != n_columns) {
      return Fail(InvalidArgument("tensor %s is [%d, %d], it must be [%d, %d]", full, whole->n_rows,
                                  whole->n_columns, all_rows, n_columns));
    }
    if (n_columns % kernels::BlockValues(whole->dtype) != 0) {
      return Fail(InvalidArgument("tensor %s: format %s does not fit rows of %d values", full,
                                  kernels::Name(whole->dtype), n_columns));
    }
    return name.per_head ? Gather(*whole, name, n_rows) : Slice(*whole, name, n_rows);
  }

  static TensorView Slice(TensorView view, const TensorName& name, int n_rows) {
    view.data += view.row_bytes() * n_rows * name.part;
    view.n_rows = n_rows;
    return view;
  }

  // A part whose heads lie between those of the others.
  TensorView Gather(TensorView view, const TensorName& name, int n_rows) {
    if (n_rows % head_dim_ != 0)
      return Fail(InvalidArgument("tensor %s has no whole heads", name.name));
    const size_t head_bytes = view.row_bytes() * head_dim_;
    char* rows = Own(view.row_bytes() * n_rows);
    for (int head = 0; head < n_rows / head_dim_; ++head) {
      std::memcpy(rows + head * head_bytes,
                  view.data + (size_t{1} * head * name.n_parts + name.part) * head_bytes,
                  head_bytes);
    }
    view.data = rows;
    view.n_rows = n_rows;
    return view;
  }

  char* Own(size_t n_bytes) {
    return weights_.owned.emplace_back(std::make_unique<char[]>(n_bytes)).get();
  }
  TensorView Fail(const absl::Status& status) {
    if (status_.ok()) status_ = status;
    return {};
  }

  const TensorSource& tensors_;
  const FileForm& form_;
  const int head_dim_;
  Weights& weights_;
  std::string prefix_;
  absl::Status status_;
};

LayerWeights ReadLayer(TensorReader& read, const TensorNames& names, const ModelConfig& config) {
  const int hidden = config.hidden_dim;
  const int ffn = config.ffn_dim;
  const int q_dim = config.n_heads * config.head_dim;
  const int kv_dim = config.n_kv_heads * config.head_dim;
  LayerWeights w;
  w.attention_norm = read.Norm(names.attention_norm, names.attention_norm_bias, hidden);
  w.q = read.Matrix(names.q, q_dim, hidden);
  w.k = read.Matrix(names.k, kv_dim, hidden);
  w.v = read.Matrix(names.v, kv_dim, hidden);
  w.q_bias = read.Vector(names.q_bias, q_dim);
  w.k_bias = read.Vector(names.k_bias, kv_dim);
  w.v_bias = read.Vector(names.v_bias, kv_dim);
  w.q_norm = read.Norm(names.q_norm, {}, config.head_dim);
  w.k_norm = read.Norm(names.k_norm, {}, config.head_dim);
  w.attention_output = read.Matrix(names.attention_output, hidden, q_dim);
  w.attention_output_bias = read.Vector(names.attention_output_bias, hidden);
  w.attention_post_norm = read.Norm(names.attention_post_norm, {}, hidden);
  w.ffn_norm = read.Norm(names.ffn_norm, names.ffn_norm_bias, hidden);
  w.gate = read.Matrix(names.gate, ffn, hidden);
  w.up = read.Matrix(names.up, ffn, hidden);
  w.up_bias = read.Vector(names.up_bias, ffn);
  w.down = read.Matrix(names.down, hidden, ffn);
  w.down_bias = read.Vector(names.down_bias, hidden);
  w.ffn_post_norm = read.Norm(names.ffn_post_norm, {}, hidden);
  return w;
}

}  // namespace

absl::StatusOr<Weights> ReadWeights(const TensorSource& tensors, const FileForm& form,
                                    const ModelConfig& config) {
  const TensorNames& names = form.names;
  Weights w;
  TensorReader read(tensors, form, config.head_dim, &w);
  w.embeddings = read.Matrix({names.embeddings}, config.vocab_size, config.hidden_dim);
  w.output = config.tied_embeddings
                 ? w.embeddings
                 : read.Matrix({names.output}, config.vocab_size, config.hidden_dim);
  w.output_norm = read.Norm({names.output_norm}, {names.output_norm_bias}, config.hidden_dim);
  for (int layer = 0; layer < config.n_layers && read.status().ok(); ++layer) {
    read.SetLayer(layer);
    w.layers.push_back(ReadLayer(read, names, config));
  }
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

}  // namespace dki::model
