// SPDX-License-Identifier: Apache-2.0
// Purpose: the K/V of a planned pack. A block is computed behind its context chain (context, then
//   the blocks before it), each of them a segment in its own frame, at the place that it has in the
//   pack. So a block's K/V is the same, bit for bit, whether the pack is computed in one go, block
//   by block, or partly read from a cache (P2, P11).
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

// The K/V of plan.blocks[i] for each i of `wanted` (ascending), in one forward pass.
// `at_hand[i]`: the K/V of plan.blocks[i], or null; one for each block of the plan.
// REQUIRES: every block in front of a wanted one is at hand or wanted itself.
absl::StatusOr<std::vector<kvcache::Block>> ComputeBlocks(
    model::Model* model, const PackPlan& plan, const model::KvBuffer& context,
    std::span<const model::KvBuffer* const> at_hand, std::span<const int> wanted);

// All of it, with nothing at hand.
absl::StatusOr<std::vector<kvcache::Block>> ComputePack(model::Model* model, const PackPlan& plan);

}  // namespace dki::injection
