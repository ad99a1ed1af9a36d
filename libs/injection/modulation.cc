// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/modulation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "kernels/dtype.h"
#include "libs/base/check.h"
#include "libs/base/sha256.h"
#include "libs/base/strings.h"
#include "libs/model/forward.h"
#include "libs/model/json_reader.h"
#include "libs/model/safetensors.h"

namespace dki::injection {
namespace {

using Metadata = std::map<std::string, std::string>;

// Floats of q and of a tensor: added to the mean square.
constexpr double kEpsilon = 1e-6;

absl::StatusOr<Metadata> ReadMetadata(std::string_view json_text) {
  Metadata metadata;
  if (json_text.empty()) return metadata;
  model::JsonReader json(json_text);
  DKI_RETURN_IF_ERROR(json.ReadObject([&](const std::string& name) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(metadata[name], json.ReadString());
    return absl::OkStatus();
  }));
  return metadata;
}

absl::Status CheckMetadata(const Metadata& metadata, const char* name, std::string_view wanted) {
  const auto it = metadata.find(name);
  const std::string found = it == metadata.end() ? "" : it->second;
  if (found == wanted) return absl::OkStatus();
  return InvalidArgument("metadata %s is \"%s\", it must be \"%s\"", name, Abbreviate(found, 80),
                         wanted);
}

// The tensor as floats, row-major.
absl::StatusOr<std::vector<float>> ReadTensor(const model::SafetensorsFile& file,
                                              const std::string& name,
                                              const std::vector<uint64_t>& shape) {
  const auto it = file.tensors().find(name);
  const bool is_half = it != file.tensors().end() && it->second.dtype == "F16";
  const auto data = file.Get(name, is_half ? "F16" : "F32", shape);
  if (!data.ok()) return InvalidArgument("%s", ToStd(data.status().message()));
  std::vector<float> values(data->size() / (is_half ? sizeof(uint16_t) : sizeof(float)));
  if (is_half) {
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t half = 0;
      std::memcpy(&half, data->data() + i * sizeof(half), sizeof(half));
      values[i] = kernels::HalfToFloat(half);
    }
  } else {
    std::memcpy(values.data(), data->data(), data->size());
  }
  for (const float value : values) {
    if (!(std::fabs(value) <= Modulation::kMaxWeight)) {
      return InvalidArgument("tensor '%s' has a value of %g, it must be within +-%g", name, value,
                             Modulation::kMaxWeight);
    }
  }
  return values;
}

// channels[c]: where the file has channel c of the model's [k ; v].
std::vector<int> FileChannels(const model::ModelConfig& config, int layer,
                              model::RopePairing pairing) {
  const model::RopeConfig& rope = config.rope_of(layer);
  std::vector<int> channels(2 * config.n_kv_heads * config.head_dim);
  for (size_t c = 0; c < channels.size(); ++c) channels[c] = static_cast<int>(c);
  if (pairing == rope.pairing) return channels;
  const int half = rope.n_rot / 2;
  for (int first = 0; first < config.n_kv_heads * config.head_dim; first += config.head_dim) {
    for (int i = 0; i < half; ++i) {
      for (int part = 0; part < 2; ++part) {
        const int interleaved = first + 2 * i + part;
        const int halves = first + part * half + i;
        if (pairing == model::RopePairing::kHalves) {
          channels[interleaved] = halves;
        } else {
          channels[halves] = interleaved;
        }
      }
    }
  }
  return channels;
}

kernels::DenseMatrix Pack(const float* w, int n_out, int k) {
  return kernels::PackDense(reinterpret_cast<const char*>(w), std::vector<float>(n_out).data(),
                            n_out, k);
}

// `down` [rank, n] with its columns, `up` [n, rank] with its rows in the order of `channels`.
kernels::DenseMatrix PackDown(const float* w, int rank, const std::vector<int>& channels) {
  const int n = static_cast<int>(channels.size());
  std::vector<float> ordered(static_cast<size_t>(rank) * n);
  for (int r = 0; r < rank; ++r) {
    for (int c = 0; c < n; ++c) ordered[r * n + c] = w[r * n + channels[c]];
  }
  return Pack(ordered.data(), rank, n);
}
kernels::DenseMatrix PackUp(const float* w, int rank, const std::vector<int>& channels) {
  const int n = static_cast<int>(channels.size());
  std::vector<float> ordered(static_cast<size_t>(rank) * n);
  for (int c = 0; c < n; ++c) std::copy_n(w + channels[c] * rank, rank, &ordered[c * rank]);
  return Pack(ordered.data(), n, rank);
}

std::vector<double> Frequencies(const model::RopeConfig& rope) {
  return kernels::RopeFrequencies(rope.theta, rope.n_rot,
                                  rope.factors.empty() ? nullptr : rope.factors.data());
}

// [n_tokens, 2, n_rot]: into each token's position, and back.
std::vector<float> Rotations(const std::vector<double>& frequencies, int n_tokens) {
  const size_t n_rot = 2 * frequencies.size();
  std::vector<float> tables(2 * n_rot * n_tokens);
  for (int j = 0; j < n_tokens; ++j) {
    float* const table = tables.data() + 2 * n_rot * j;
    kernels::RopeTable(j, frequencies, table);
    for (size_t i = 0; i < n_rot; ++i) table[n_rot + i] = i % 2 == 0 ? table[i] : -table[i];
  }
  return tables;
}

std::vector<float> Multiply(kernels::Isa isa, const kernels::DenseMatrix& matrix, const float* x,
                            int n_tokens) {
  std::vector<float> y(static_cast<size_t>(matrix.n_out) * n_tokens);
  kernels::Dense(isa, matrix, x, n_tokens, y.data(), 0, matrix.n_panels());
  return y;
}

}  // namespace

Modulation::Modulation(const model::ModelConfig& config, kernels::Isa isa)
    : config_(config),
      isa_(isa),
      frequencies_{Frequencies(config.rope),
                   config.window > 0 ? Frequencies(config.window_rope) : std::vector<double>()} {}

absl::StatusOr<std::shared_ptr<const Modulation>> Modulation::Load(const std::string& path,
                                                                   const model::ModelConfig& config,
                                                                   std::string_view isa) {
  const std::optional<kernels::Isa> chosen = kernels::ChooseIsa(isa);
  if (!chosen) return InvalidArgument("isa is \"%s\", which this CPU has not", isa);
  DKI_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  auto modulation = Parse(file.bytes(), config, *chosen);
  if (!modulation.ok()) return Annotate(modulation.status(), path);
  return modulation;
}

absl::StatusOr<std::shared_ptr<const Modulation>> Modulation::Parse(
    std::string_view bytes, const model::ModelConfig& config, kernels::Isa isa) {
  DKI_ASSIGN_OR_RETURN(const auto file, model::SafetensorsFile::Parse(bytes));
  absl::StatusOr<Metadata> metadata = ReadMetadata(file.metadata());
  if (!metadata.ok()) return Annotate(metadata.status(), "metadata");
  DKI_RETURN_IF_ERROR(CheckMetadata(*metadata, "format", "dki-modulation"));
  DKI_RETURN_IF_ERROR(CheckMetadata(*metadata, "version", "1"));
  if (!(*metadata)["model_fingerprint"].empty()) {
    DKI_RETURN_IF_ERROR(CheckMetadata(*metadata, "model_fingerprint", config.fingerprint));
  }
  const std::string& pairing_name = (*metadata)["rope_pairing"];
  if (!pairing_name.empty() && pairing_name != "halves" && pairing_name != "interleaved") {
    return InvalidArgument("metadata rope_pairing is \"%s\", it must be halves or interleaved",
                           Abbreviate(pairing_name, 80));
  }
  const auto pairing = pairing_name == "interleaved" ? model::RopePairing::kInterleaved
                                                     : model::RopePairing::kHalves;
  int rank = 0;
  if (!absl::SimpleAtoi((*metadata)["rank"], &rank) || rank < 1 || rank > kMaxRank) {
    return InvalidArgument("metadata rank is \"%s\", it must be from 1 to %d",
                           Abbreviate((*metadata)["rank"], 80), kMaxRank);
  }

  const uint64_t r = rank, n = config.n_layers, h = config.hidden_dim;
  const uint64_t width = uint64_t{2} * config.n_kv_heads * config.head_dim;
  DKI_ASSIGN_OR_RETURN(const std::vector<float> down, ReadTensor(file, "down", {n, r, width}));
  DKI_ASSIGN_OR_RETURN(const std::vector<float> up, ReadTensor(file, "up", {n, width, r}));
  DKI_ASSIGN_OR_RETURN(const std::vector<float> gamma, ReadTensor(file, "gamma", {n, r, h}));
  DKI_ASSIGN_OR_RETURN(const std::vector<float> beta, ReadTensor(file, "beta", {n, r, h}));

  const std::shared_ptr<Modulation> made(new Modulation(config, isa));
  made->rank_ = rank;
  made->fingerprint_ = Sha256Hex(bytes);
  made->is_identity_ = std::ranges::all_of(up, [](float w) { return w == 0; });
  for (int layer = 0; layer < config.n_layers; ++layer) {
    const std::vector<int> channels = FileChannels(config, layer, pairing);
    made->layers_.push_back({.down = PackDown(&down[layer * r * width], rank, channels),
                             .up = PackUp(&up[layer * r * width], rank, channels),
                             .gamma = Pack(&gamma[layer * r * h], rank, config.hidden_dim),
                             .beta = Pack(&beta[layer * r * h], rank, config.hidden_dim)});
  }
  return made;
}

Modulation::Question Modulation::Read(const model::Model& model,
                                      std::span<const int32_t> tokens) const {
  std::vector<float> row(config_.hidden_dim);
  std::vector<double> sum(config_.hidden_dim);
  for (const int32_t token : tokens) {
    model.EmbeddingRow(token, row);
    for (size_t i = 0; i < row.size(); ++i) sum[i] += row[i];
  }
  double squares = 0;
  for (double& value : sum) {
    value /= static_cast<double>(std::max<size_t>(1, tokens.size()));
    squares += value * value;
  }
  const double norm = std::sqrt(squares / config_.hidden_dim + kEpsilon);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(sum[i] / norm);

  Question question;
  for (const Layer& layer : layers_) {
    for (const float value : Multiply(isa_, layer.gamma, row.data(), 1)) {
      question.scale.push_back(1.0f + value);
    }
    const std::vector<float> shift = Multiply(isa_, layer.beta, row.data(), 1);
    question.shift.insert(question.shift.end(), shift.begin(), shift.end());
  }
  return question;
}

model::KvBuffer Modulation::Apply(const Question& question, const model::KvBuffer& kv,
                                  int begin) const {
  DKI_CHECK(begin >= 0 && begin <= kv.size());
  model::KvBuffer result(kv.shape(), kv.size());
  result.Resize(kv.size());
  std::vector<float> rotations[2];
  for (int kind = 0; kind < (config_.window > 0 ? 2 : 1); ++kind) {
    rotations[kind] = Rotations(frequencies_[kind], kv.size());
  }
  for (int layer = 0; layer < config_.n_layers; ++layer) {
    ApplyLayer(question, layer, rotations[config_.is_windowed(layer) ? 1 : 0], begin, kv, &result);
  }
  return result;
}

void Modulation::ApplyLayer(const Question& question, int layer,
                            const std::vector<float>& rotations, int begin,
                            const model::KvBuffer& kv, model::KvBuffer* result) const {
  const model::RopeConfig& rope = config_.rope_of(layer);
  const kernels::RopePairs pairs = model::ToPairs(rope.pairing);
  const size_t d = kv.shape().row_size();
  const int n = kv.size() - begin;
  const float* const scale = question.scale.data() + static_cast<size_t>(layer) * rank_;
  const float* const shift = question.shift.data() + static_cast<size_t>(layer) * rank_;
  const auto rotate = [&](int token, bool back, const float* from, float* to) {
    const float* const table = rotations.data() + (size_t{2} * token + (back ? 1 : 0)) * rope.n_rot;
    kernels::ApplyRope(pairs, table, rope.n_rot, config_.n_kv_heads, config_.head_dim, from, to);
  };

  std::vector<float> x(2 * d * n);
  for (int i = 0; i < n; ++i) {
    rotate(begin + i, true, kv.keys(layer, begin + i), &x[2 * d * i]);
    std::copy_n(kv.values(layer, begin + i), d, &x[2 * d * i + d]);
  }
  std::vector<float> z = Multiply(isa_, layers_[layer].down, x.data(), n);
  for (int i = 0; i < n; ++i) {
    for (int r = 0; r < rank_; ++r) z[i * rank_ + r] = scale[r] * z[i * rank_ + r] + shift[r];
  }
  const std::vector<float> delta = Multiply(isa_, layers_[layer].up, z.data(), n);

  std::vector<float> key(d);
  for (int token = 0; token < kv.size(); ++token) {
    float* const keys = result->keys(layer, token);
    float* const values = result->values(layer, token);
    std::copy_n(kv.keys(layer, token), d, keys);
    std::copy_n(kv.values(layer, token), d, values);
    if (token < begin) continue;
    const float* const change = &delta[2 * d * (token - begin)];
    rotate(token, false, change, key.data());
    for (size_t c = 0; c < d; ++c) keys[c] += key[c];
    for (size_t c = 0; c < d; ++c) values[c] += change[d + c];
  }
}

}  // namespace dki::injection
