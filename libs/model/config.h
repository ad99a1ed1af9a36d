// SPDX-License-Identifier: Apache-2.0
// What a decoder-only transformer is, as data. A new model family is a row of values here (and of
// tensor names in architecture.cc), not a branch in the forward pass.
#pragma once

#include <cstdint>
#include <string>

namespace dki::model {

// Which channels of a head a rotary position turns together.
enum class RopePairing {
  kInterleaved,  // (0,1), (2,3), ... : Llama-family GGUF files, whose q and k rows are stored
                 // permuted for it
  kHalves,       // (i, i + n_rot/2)  : the NeoX form, used by safetensors checkpoints
};

struct RopeConfig {
  RopePairing pairing = RopePairing::kInterleaved;
  double theta = 10000.0;
  int n_rot = 0;  // rotated channels of each head; the others pass through
};

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
  int context_length = 0;  // the window, in tokens
  float norm_epsilon = 1e-5f;
  RopeConfig rope;
  bool tied_embeddings = false;

  // Hexadecimal SHA-256 over weights, tokenizer, rotary parameters and architecture: K/V computed
  // with one model is never served to another (design: block keys).
  std::string fingerprint;
};

}  // namespace dki::model
