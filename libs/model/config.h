// SPDX-License-Identifier: Apache-2.0
// What a decoder-only transformer is, as data. A new model family is a row of values here (and of
// tensor names in architecture.cc), not a branch in the forward pass.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/model/kv_codec.h"

namespace dki::model {

// Which channels of a head a rotary position turns together.
enum class RopePairing {
  kInterleaved,  // (0,1), (2,3), ... : Llama-family GGUF files, whose q and k rows are stored
                 // permuted for it, and GLM
  kHalves,       // (i, i + n_rot/2)  : the NeoX form, used by most safetensors checkpoints
};

struct RopeConfig {
  RopePairing pairing = RopePairing::kInterleaved;
  double theta = 10000.0;
  int n_rot = 0;  // rotated channels of each head; the others pass through
  // [n_rot / 2]: the frequency of a pair is divided by its factor. Empty: all ones. Scaling that
  // depends on positions alone (linear, Llama 3) is such factors.
  std::vector<float> factors;
  bool operator==(const RopeConfig&) const = default;
};

enum class NormKind {
  kRms,    // x / rms(x) * weight
  kLayer,  // (x - mean) / deviation * weight + bias
};

// Of the feed-forward block.
enum class ActivationKind { kSilu, kGeluTanh, kGelu };

struct ModelConfig {
  std::string architecture;  // the family's name, e.g. "llama"
  std::string name;
  int n_layers = 0;
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int hidden_dim = 0;
  int ffn_dim = 0;
  int vocab_size = 0;
  int context_length = 0;  // in tokens
  NormKind norm = NormKind::kRms;
  float norm_epsilon = 1e-5f;
  ActivationKind activation = ActivationKind::kSilu;
  // Attention and feed-forward both read the stream as it was before the layer.
  bool parallel_residual = false;
  float embedding_scale = 1.0f;  // of a token's embedding
  float attention_scale = 0.0f;  // of the logits of attention, usually 1 / sqrt(head_dim)
  RopeConfig rope;               // of all layers but the windowed ones
  // A windowed layer sees the `window` last positions, the row's own included, and has rotary
  // positions of its own. 0: there are none.
  int window = 0;
  RopeConfig window_rope;
  std::vector<bool> windowed;  // [n_layers], or empty
  bool tied_embeddings = false;

  KvCodec kv_codec;  // not of the file: ModelOptions::kv_format

  bool is_windowed(int layer) const { return window > 0 && windowed[layer]; }
  const RopeConfig& rope_of(int layer) const { return is_windowed(layer) ? window_rope : rope; }
  // Whether K/V may be placed elsewhere than where it was computed: keys carry their position as a
  // rotation, and as nothing else. Where not, memory can only be a true prefix.
  bool supports_placement() const { return rope.n_rot > 0; }

  // Hexadecimal SHA-256 over weights, tokenizer, rotary parameters and architecture: what the model
  // is called in records and calibrations.
  std::string fingerprint;
  // Of the K/V that it computes here: the fingerprint, and what decides about the last bits (the
  // instruction set and the kind of activations). Other paths' blocks are other blocks (P11), while
  // a calibration holds for the model whatever the path.
  std::string kv_fingerprint;
};

}  // namespace dki::model
