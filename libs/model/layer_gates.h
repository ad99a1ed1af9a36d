// SPDX-License-Identifier: Apache-2.0
// Purpose: how the tokens of a K/V buffer weigh in each layer, beside the weight of the segment
//   that they are in (per-token gates of the Engram-inspired injection, docs/engram.md). Plain
//   data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dki::model {

struct LayerGates {
  int n_tokens = 0;  // of the buffer
  // ln gate of each token and K/V head, [n_layers, n_tokens, n_kv_heads]; empty: all 0.
  std::vector<float> log_gates = {};
  // Layers in which the segment is attended to at all, [n_layers], 0 or 1; empty: all.
  std::vector<uint8_t> attended = {};

  bool is_attended(int layer) const { return attended.empty() || attended[layer] != 0; }
  // [n_tokens, n_kv_heads], or null.
  const float* of_layer(int layer, int n_kv_heads) const {
    if (log_gates.empty()) return nullptr;
    return log_gates.data() + static_cast<size_t>(layer) * n_tokens * n_kv_heads;
  }
};

}  // namespace dki::model
