// SPDX-License-Identifier: Apache-2.0
// Purpose: the short depth-wise convolution over a memory's values of the Engram-inspired
//   injection (arXiv:2601.07372; S4.3 of the seeds): V' = V + SiLU(conv(RMSNorm(V))), causal along
//   the tokens, one filter per channel, the same in all layers and K/V heads. Zero weights are the
//   identity, to the bit; nothing here is trained, and the product does not use it.
// Pure functions.
#pragma once

#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/kv_buffer.h"

namespace dki::model {

struct ValueRefinement {
  int kernel = 4;                   // taps, 1 to 16; the last is the token itself
  int dilation = 1;                 // tokens between taps, 1 to 16
  std::vector<float> norm = {};     // [head_dim] weights of the RMSNorm, epsilon 1e-6
  std::vector<float> weights = {};  // [head_dim, kernel]
  std::vector<float> bias = {};     // [head_dim]
};

// A JSON object with these fields; kernel and dilation may be left out. INVALID_ARGUMENT.
absl::StatusOr<ValueRefinement> ParseValueRefinement(std::string_view json);

// A copy of `kv` with the values of its tokens [begin, size) refined; the convolution begins at
// `begin`. INVALID_ARGUMENT: made for another head_dim.
absl::StatusOr<KvBuffer> RefineValues(const ValueRefinement& refinement, const KvBuffer& kv,
                                      int begin);

}  // namespace dki::model
