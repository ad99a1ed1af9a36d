// SPDX-License-Identifier: Apache-2.0
// Purpose: the K/V of a planned pack. A block is computed behind its context chain (context, then
//   the blocks that PlannedBlock::behind names), each of them a segment in its own frame, one
//   directly after the other. So a block's K/V is the same, bit for bit, whether the pack is
//   computed in one go, block by block, or partly read from a cache (P2, P11).
//
//   In a format that loses something (plan.format) a block is computed behind what is kept of the
//   blocks before it: in one go too, where each layer's K/V is rounded before the blocks behind it
//   attend to it (model::RoundedKv). Within the block, tokens attend to what was computed.
// Thread-safety: as Model::Forward: one call at a time for each model.
#pragma once

#include <span>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/pack_plan.h"
#include "libs/kvcache/block.h"
#include "libs/model/kv_buffer.h"
#include "libs/model/model.h"

namespace dki::injection {

// The K/V of the context that the pack is computed behind, for all packs with these context tokens.
absl::StatusOr<model::KvBuffer> ComputeContext(model::Model* model,
                                               std::span<const int32_t> context_tokens);

// What block `index` of a plan is computed behind, as attention takes it: the context, then its
// chain. `kv[j]`: what is attended to of plan.blocks[j]; only those of the chain are looked at.
struct ChainSegments {
  std::vector<model::Segment> segments;
  double end = 0;  // the position behind the chain
};
ChainSegments SegmentsOfChain(const PackPlan& plan, const model::KvBuffer& context,
                              std::span<const model::KvBuffer* const> kv, int index);

struct ComputedBlock {
  kvcache::Block block;  // as computed, to be encoded in plan.format
  model::KvBuffer kept;  // what is left of block.kv then
};

// plan.blocks[i] for each i of `wanted` (ascending), in one forward pass. `at_hand[i]`: the K/V
// that is kept of plan.blocks[i], or null; one for each block of the plan. `codec`: the model's.
// REQUIRES: every block that a wanted one is behind is at hand or wanted itself, and no wanted one
// is blended (blend_block.h).
absl::StatusOr<std::vector<ComputedBlock>> ComputeBlocks(
    model::Model* model, const model::PlaneCodec& codec, const PackPlan& plan,
    const model::KvBuffer& context, std::span<const model::KvBuffer* const> at_hand,
    std::span<const int> wanted);

// All of it, with nothing at hand. REQUIRES: no block is blended.
absl::StatusOr<std::vector<ComputedBlock>> ComputePack(model::Model* model,
                                                       const model::PlaneCodec& codec,
                                                       const PackPlan& plan);

}  // namespace dki::injection
