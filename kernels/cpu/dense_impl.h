// SPDX-License-Identifier: Apache-2.0
// Dense over Lanes, included once by the file of each instruction set. Two vectors of outputs times
// kDenseTokens tokens are in flight; per step along k the weights are loaded once and each token's
// value is broadcast.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace {

using dki::kernels::DenseView;
using dki::kernels::kPanelRows;

constexpr int kDenseVectors = 2;
// As many as registers hold: 12 of AVX-512's 32, 6 of AVX2's 16.
constexpr int kDenseTokens = Lanes::kCount == 16 ? 12 : 6;
// Tokens that a panel serves before the next panel: their activations stay in the L2 cache.
constexpr int kDenseTokenBlock = 240;

// kTokens tokens times kDenseVectors * Lanes::kCount outputs. w: [k, kPanelRows] from the first of
// them on.
template <int kTokens>
inline void DenseTile(const uint16_t* w, const float* bias, int k, const float* x,
                      Lanes::F (*sums)[kDenseVectors]) {
  Lanes::F acc[kTokens][kDenseVectors];
  for (int t = 0; t < kTokens; ++t)
    for (int v = 0; v < kDenseVectors; ++v) acc[t][v] = Lanes::Load(bias + v * Lanes::kCount);
  for (int i = 0; i < k; ++i, w += kPanelRows) {
    Lanes::F ws[kDenseVectors];
    for (int v = 0; v < kDenseVectors; ++v) ws[v] = Lanes::LoadHalf(w + v * Lanes::kCount);
    for (int t = 0; t < kTokens; ++t) {
      const Lanes::F value = Lanes::Set(x[static_cast<size_t>(t) * k + i]);
      for (int v = 0; v < kDenseVectors; ++v) acc[t][v] = Lanes::Fma(value, ws[v], acc[t][v]);
    }
  }
  for (int t = 0; t < kTokens; ++t)
    for (int v = 0; v < kDenseVectors; ++v) sums[t][v] = acc[t][v];
}

template <int kTokens>
inline void DenseTileOf(int n_tokens, const uint16_t* w, const float* bias, int k, const float* x,
                        Lanes::F (*sums)[kDenseVectors]) {
  if constexpr (kTokens > 0) {
    if (n_tokens == kTokens)
      DenseTile<kTokens>(w, bias, k, x, sums);
    else
      DenseTileOf<kTokens - 1>(n_tokens, w, bias, k, x, sums);
  }
}

// The first n of the outputs in `sums`.
inline void StoreOutputs(const Lanes::F* sums, int n, float* y) {
  constexpr int kOutputs = kDenseVectors * Lanes::kCount;
  if (n >= kOutputs) {
    for (int v = 0; v < kDenseVectors; ++v) Lanes::Store(y + v * Lanes::kCount, sums[v]);
    return;
  }
  float all[kOutputs];
  for (int v = 0; v < kDenseVectors; ++v) Lanes::Store(all + v * Lanes::kCount, sums[v]);
  for (int i = 0; i < n; ++i) y[i] = all[i];
}

void DensePanels(const DenseView& m, const float* x, int n_tokens, float* y, int panel_begin,
                 int panel_end) {
  constexpr int kOutputs = kDenseVectors * Lanes::kCount;
  for (int t0 = 0; t0 < n_tokens; t0 += kDenseTokenBlock) {
    const int t1 = t0 + kDenseTokenBlock < n_tokens ? t0 + kDenseTokenBlock : n_tokens;
    for (int row = panel_begin * kPanelRows; row < panel_end * kPanelRows && row < m.n_out;
         row += kOutputs) {
      const uint16_t* w =
          m.panels + static_cast<size_t>(row / kPanelRows) * m.k * kPanelRows + row % kPanelRows;
      for (int t = t0; t < t1; t += kDenseTokens) {
        const int tokens = t1 - t < kDenseTokens ? t1 - t : kDenseTokens;
        Lanes::F sums[kDenseTokens][kDenseVectors];
        DenseTileOf<kDenseTokens>(tokens, w, m.bias + row, m.k, x + static_cast<size_t>(t) * m.k,
                                  sums);
        for (int i = 0; i < tokens; ++i)
          StoreOutputs(sums[i], m.n_out - row, y + static_cast<size_t>(t + i) * m.n_out + row);
      }
    }
  }
}

}  // namespace
