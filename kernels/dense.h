// SPDX-License-Identifier: Apache-2.0
// y = x W^T + bias for many tokens and small models (the embedder): weights as halves, 32 outputs
// side by side, so that a sum never crosses lanes and half the bytes of floats are read.
// Each element is one sum in the order of k, begun with the bias: it depends on its own token only,
// whatever the number of tokens, the range of panels or the threads (P11).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/isa.h"

namespace dki::kernels {

inline constexpr int kPanelRows = 32;

struct DenseMatrix {
  int n_out = 0;
  int k = 0;
  std::vector<uint16_t> panels;  // [n_panels, k, kPanelRows], zeros beyond n_out
  std::vector<float> bias;       // [n_panels * kPanelRows]

  int n_panels() const { return (n_out + kPanelRows - 1) / kPanelRows; }
};
// w: float32 [n_out, k], perhaps not aligned; bias: [n_out].
DenseMatrix PackDense(const char* w, const float* bias, int n_out, int k);

// The panels [panel_begin, panel_end) of all tokens. x: [n_tokens, k], y: [n_tokens, n_out].
void Dense(Isa isa, const DenseMatrix& matrix, const float* x, int n_tokens, float* y,
           int panel_begin, int panel_end);

}  // namespace dki::kernels
