// SPDX-License-Identifier: Apache-2.0
// Rotary positions (Su et al., arXiv:2104.09864): pair i of a head is turned by
// position * theta^(-2i / n_rot). Positions are real numbers and angles are computed in double, so
// that a position gives the same rotation on whatever way it was reached.
#pragma once

#include <vector>

namespace dki::kernels {

enum class RopePairs {
  kInterleaved,  // channels (2i, 2i + 1)
  kHalves,       // channels (i, i + n_rot / 2)
};

// Angle per position of each pair: theta^(-2i / n_rot) / factors[i]. factors: [n_rot / 2], or null
// for all ones (GGUF's rope_freqs).
std::vector<double> RopeFrequencies(double theta, int n_rot, const float* factors);

// A rotation as a table: cosine and sine of each pair in turn.
// frequencies: [n_rot / 2]; table: [n_rot].
void RopeTable(double position, const std::vector<double>& frequencies, float* table);

// Turns n_heads heads. x, y: [n_heads, head_dim] (may be the same); table: [n_rot]; the channels
// from n_rot on are copied.
void ApplyRope(RopePairs pairs, const float* table, int n_rot, int n_heads, int head_dim,
               const float* x, float* y);

}  // namespace dki::kernels
