// SPDX-License-Identifier: Apache-2.0
// Purpose: memories' keys and values changed by a trained low-rank map that depends on the question
//   (docs/modulation.md; FiLM, Perez et al., arXiv:1709.07871). With d = n_kv_heads * head_dim,
//   h = hidden_dim, r = rank, of each layer and token
//     x  = [k ; v]                          the key before its rotation, the value: [2d]
//     z  = (1 + gamma q) * (down x) + beta q     [r]
//     x' = x + up z
//   where q [h] is the mean of the embedding rows of the question's tokens over its root mean
//   square. `up` = 0 is the identity.
// File: safetensors with "down" [n_layers, r, 2d], "up" [n_layers, 2d, r], "gamma" and "beta"
//   [n_layers, r, h], each F32 or F16, and as metadata "format": "dki-modulation", "version": "1",
//   "rank", "model_fingerprint" (may be empty or missing: not checked) and "rope_pairing":
//   "halves" (the default: channels of a key as Hugging Face's checkpoints order them) or
//   "interleaved". The weights are kept as halves.
// Thread-safety: const and thread-safe after loading. Results depend on their arguments and the
//   instruction set alone (P11).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/dense.h"
#include "kernels/isa.h"
#include "kernels/rope.h"
#include "libs/base/status.h"
#include "libs/model/config.h"
#include "libs/model/kv_buffer.h"
#include "libs/model/model.h"

namespace dki::injection {

class Modulation {
 public:
  static constexpr int kMaxRank = 256;
  // Of a weight: a trained one is far below, and nothing overflows.
  static constexpr float kMaxWeight = 1000.0f;

  // `isa` as ModelOptions::isa. NOT_FOUND: there is no file. INVALID_ARGUMENT, with the field and
  // what it must be: malformed, another model's, a weight that is not finite or too large.
  static absl::StatusOr<std::shared_ptr<const Modulation>> Load(const std::string& path,
                                                                const model::ModelConfig& config,
                                                                std::string_view isa = "auto");
  // The same of a file's bytes, which are not kept.
  static absl::StatusOr<std::shared_ptr<const Modulation>> Parse(std::string_view bytes,
                                                                 const model::ModelConfig& config,
                                                                 kernels::Isa isa);

  int rank() const { return rank_; }
  // Hexadecimal SHA-256 of the file.
  const std::string& fingerprint() const { return fingerprint_; }
  // Changes nothing, whatever the question.
  bool is_identity() const { return is_identity_; }

  // What a question makes of z: [n_layers, rank] each.
  struct Question {
    std::vector<float> scale;  // 1 + gamma q
    std::vector<float> shift;  // beta q
  };
  // REQUIRES: `tokens` of the vocabulary of `model`, which has the configuration loaded for.
  Question Read(const model::Model& model, std::span<const int32_t> tokens) const;

  // A copy of `kv`, token j of which stands at position j of its frame, with the tokens from
  // `begin` on changed. REQUIRES: kv of the model; 0 <= begin <= kv.size().
  model::KvBuffer Apply(const Question& question, const model::KvBuffer& kv, int begin) const;

 private:
  struct Layer {
    kernels::DenseMatrix down, up, gamma, beta;
  };

  Modulation(const model::ModelConfig& config, kernels::Isa isa);
  void ApplyLayer(const Question& question, int layer, const std::vector<float>& rotations,
                  int begin, const model::KvBuffer& kv, model::KvBuffer* result) const;

  const model::ModelConfig config_;
  const kernels::Isa isa_;
  const std::vector<double> frequencies_[2];  // of full and of windowed layers
  int rank_ = 0;
  bool is_identity_ = true;
  std::string fingerprint_;
  std::vector<Layer> layers_;
};

}  // namespace dki::injection
