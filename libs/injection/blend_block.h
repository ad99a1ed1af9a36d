// SPDX-License-Identifier: Apache-2.0
// Purpose: a memory that was computed alone, fitted into a pack by computing a few of its tokens
//   again behind everything in front of them (CompositionKind::kBlend; CacheBlend,
//   arXiv:2405.16444). Which ones is told by an estimate that costs two layers: the block's K/V in
//   context, as far as the second layer (the first one's depends on the token alone), against that
//   of the block alone. The chosen tokens then run through the whole model, in order: each attends
//   to what is final of all tokens in front of it, those of its own block included.
//
//   The result is a function of the block's tokens, its chain and the share: what
//   kvcache::BlockIdentity has (P5). With all tokens chosen it is the joint prefill's, to the bit.
//   A run of neighbouring tokens is one forward pass, so that keys come out in the block's frame:
//   for a measurement of answers; a server would batch them.
// Thread-safety: as Model::Forward: one call at a time for each model.
#pragma once

#include <span>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/pack_plan.h"
#include "libs/model/kv_buffer.h"
#include "libs/model/model.h"

namespace dki::injection {

// Layers that the estimate runs through; the last of them tells.
inline constexpr int kBlendEstimateLayers = 2;

// How much the K/V of layer `layer` of each token differs: the squared distance of the keys and
// that of the values, each in units of the tokens' mean square norm in `alone`, added. Both buffers
// have room for n_tokens tokens, in one frame. [n_tokens]
std::vector<double> KvDeviations(const model::KvBuffer& in_context, const model::KvBuffer& alone,
                                 int layer, int n_tokens);

// The indexes of the `n` largest, ascending; of equal ones the first.
std::vector<int> Largest(std::span<const double> values, int n);

struct BlendedKv {
  model::KvBuffer kv;
  std::vector<int> recomputed;  // tokens, ascending
};

// plan.blocks[index], which is blended. `kv` as for SegmentsOfChain; `alone`: what is kept of
// plan.alone[its memory].
absl::StatusOr<BlendedKv> BlendBlock(model::Model* model, const PackPlan& plan,
                                     const model::KvBuffer& context,
                                     std::span<const model::KvBuffer* const> kv, int index,
                                     const model::KvBuffer& alone);

}  // namespace dki::injection
