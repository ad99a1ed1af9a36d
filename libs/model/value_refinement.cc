// SPDX-License-Identifier: Apache-2.0
#include "libs/model/value_refinement.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "libs/model/json_reader.h"

namespace dki::model {
namespace {

absl::Status ReadFloats(JsonReader* json, const std::string& name, std::vector<float>* out) {
  out->clear();
  return json->ReadArray([&]() -> absl::Status {
    DKI_ASSIGN_OR_RETURN(const double number, json->ReadNumber());
    out->push_back(static_cast<float>(number));
    if (std::isfinite(out->back())) return absl::OkStatus();
    return InvalidArgument("refinement: %s has a number that is not finite", name);
  });
}

absl::Status ReadTaps(JsonReader* json, const std::string& name, int* out) {
  DKI_ASSIGN_OR_RETURN(const double number, json->ReadNumber());
  if (!(number >= 1 && number <= 16 && number == std::floor(number))) {
    return InvalidArgument("refinement: %s is %g, must be 1 to 16", name, number);
  }
  *out = static_cast<int>(number);
  return absl::OkStatus();
}

// Rows of one head: [n, head_dim] apart by `stride`; `values` are read, `out` is added to.
void RefineHead(const ValueRefinement& r, const std::vector<const float*>& values,
                const std::vector<float*>& out) {
  const size_t n = values.size();
  const size_t head_dim = r.norm.size();
  std::vector<float> normed(n * head_dim);
  for (size_t t = 0; t < n; ++t) {
    float sum = 0.0f;
    for (size_t c = 0; c < head_dim; ++c) sum += values[t][c] * values[t][c];
    const float factor = 1.0f / std::sqrt(sum / static_cast<float>(head_dim) + 1e-6f);
    for (size_t c = 0; c < head_dim; ++c)
      normed[t * head_dim + c] = values[t][c] * factor * r.norm[c];
  }
  for (size_t t = 0; t < n; ++t) {
    for (size_t c = 0; c < head_dim; ++c) {
      float sum = r.bias[c];
      for (int tap = 0; tap < r.kernel; ++tap) {
        const size_t back = static_cast<size_t>(r.kernel - 1 - tap) * r.dilation;
        if (back <= t) sum += r.weights[c * r.kernel + tap] * normed[(t - back) * head_dim + c];
      }
      out[t][c] += sum / (1.0f + std::exp(-sum));
    }
  }
}

}  // namespace

absl::StatusOr<ValueRefinement> ParseValueRefinement(std::string_view text) {
  JsonReader json(text);
  ValueRefinement r;
  DKI_RETURN_IF_ERROR(json.ReadObject([&](const std::string& name) -> absl::Status {
    if (name == "kernel") return ReadTaps(&json, name, &r.kernel);
    if (name == "dilation") return ReadTaps(&json, name, &r.dilation);
    if (name == "norm") return ReadFloats(&json, name, &r.norm);
    if (name == "weights") return ReadFloats(&json, name, &r.weights);
    if (name == "bias") return ReadFloats(&json, name, &r.bias);
    return InvalidArgument("refinement: '%s' is no field of it", name);
  }));
  if (r.norm.empty() || r.bias.size() != r.norm.size() ||
      r.weights.size() != r.norm.size() * r.kernel) {
    return InvalidArgument("refinement: %d weights and %d biases do not fit %d channels",
                           r.weights.size(), r.bias.size(), r.norm.size());
  }
  return r;
}

absl::StatusOr<KvBuffer> RefineValues(const ValueRefinement& refinement, const KvBuffer& kv,
                                      int begin) {
  const KvShape& shape = kv.shape();
  if (std::cmp_not_equal(refinement.norm.size(), shape.head_dim)) {
    return InvalidArgument("refinement: for heads of %d channels, the model's have %d",
                           refinement.norm.size(), shape.head_dim);
  }
  KvBuffer out(shape, kv.size());
  out.Resize(kv.size());
  for (int layer = 0; layer < shape.n_layers; ++layer) {
    for (int token = 0; token < kv.size(); ++token) {
      std::copy_n(kv.keys(layer, token), shape.row_size(), out.keys(layer, token));
      std::copy_n(kv.values(layer, token), shape.row_size(), out.values(layer, token));
    }
    for (int head = 0; head < shape.n_kv_heads; ++head) {
      std::vector<const float*> from;
      std::vector<float*> to;
      for (int token = begin; token < kv.size(); ++token) {
        const size_t at = static_cast<size_t>(head) * shape.head_dim;
        from.push_back(kv.values(layer, token) + at);
        to.push_back(out.values(layer, token) + at);
      }
      RefineHead(refinement, from, to);
    }
  }
  return out;
}

}  // namespace dki::model
