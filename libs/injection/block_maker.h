// SPDX-License-Identifier: Apache-2.0
// Purpose: blocks as they are kept and served: computed, and put into their format, once.
//
//   A format that may lose too much is measured: the block's drift is what the model's next-token
//   distributions on a fixed probe, read directly behind the block, change by when the block is
//   what its format leaves of it, with all in front of it as it is served. A format whose drift
//   exceeds the budget is refused for that block and the next better one taken, from what was
//   computed. That is decided before the block is first served or anything computed behind it, and
//   it is a function of the block's key and contents alone: so what is served never changes between
//   requests, and a block that was lost and computed again is the same one (P11).
// Thread-safety: as Model::Forward: one call at a time for each model. Ownership: the model must
//   outlive it.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/pack_plan.h"
#include "libs/kvcache/block.h"
#include "libs/model/chat_format.h"
#include "libs/model/model.h"

namespace dki::injection {

struct DriftOptions {
  // The most that a block may lose, as mean KL in nats over the probe's tokens.
  double budget = 0.05;
  // Formats below 8 bits are always measured; of int8 blocks one in so many, chosen by their keys.
  int int8_one_in = 50;
};

struct MadeBlock {
  kvcache::Block block;  // as computed; `format` and `drift` are decided
  model::KvBuffer kept;  // what is left of block.kv in its format: what is attended to
  // Formats that were measured and lost too much.
  std::vector<std::pair<kernels::KvFormat, kvcache::Drift>> refused;
};

class BlockMaker {
 public:
  BlockMaker(model::Model* model, const model::ChatFormat& format, DriftOptions options);

  const model::PlaneCodec& codec() const { return codec_; }

  // plan.blocks[i], none of them blended, for the first i of `wanted` (ascending), at least for
  // one: not beyond a block that took another format than planned, since those behind it are
  // computed behind that. Other arguments as those of ComputeBlocks.
  absl::StatusOr<std::vector<MadeBlock>> Make(const PackPlan& plan, const model::KvBuffer& context,
                                              std::span<const model::KvBuffer* const> at_hand,
                                              std::span<const int> wanted);
  // All of a pack. Blended blocks are made of what is kept of their memories alone, and kept as
  // they are: in f32, which is better than any format, and never quantised.
  absl::StatusOr<std::vector<MadeBlock>> MakePack(const PackPlan& plan);

 private:
  absl::StatusOr<MadeBlock> MakeBlended(const PackPlan& plan, const model::KvBuffer& context,
                                        std::span<const model::KvBuffer* const> at_hand, int index);
  // Whether a block is measured in `format` before it is kept.
  bool IsMeasured(const kvcache::BlockIdentity& identity, kernels::KvFormat format) const;
  // Of plan.blocks[index], computed as `exact`, when it is `kept`. `in_front`: what is attended to
  // of the blocks of its chain.
  absl::StatusOr<kvcache::Drift> Measure(const PackPlan& plan, const model::KvBuffer& context,
                                         std::span<const model::KvBuffer* const> in_front,
                                         int index, const model::KvBuffer& exact,
                                         const model::KvBuffer& kept);

  model::Model* const model_;
  const model::PlaneCodec codec_;
  const DriftOptions options_;
  std::vector<int32_t> probe_;  // tokens
};

}  // namespace dki::injection
