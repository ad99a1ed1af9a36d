// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/compute_pack.h"

#include <numeric>
#include <utility>

#include "libs/base/check.h"

namespace dki::injection {

absl::StatusOr<model::KvBuffer> ComputeContext(model::Model* model,
                                               std::span<const int32_t> context_tokens) {
  const int n_tokens = static_cast<int>(context_tokens.size());
  model::KvBuffer context(model->kv_shape(), n_tokens);
  if (n_tokens == 0) return context;
  model::Chunk chunk{.tokens = context_tokens,
                     .context = &context,
                     .segments = {},
                     .logits = model::LogitsWanted::kNone};
  DKI_RETURN_IF_ERROR(model->Forward({&chunk, 1}).status());
  return context;
}

absl::StatusOr<std::vector<kvcache::Block>> ComputeBlocks(
    model::Model* model, const PackPlan& plan, const model::KvBuffer& context,
    std::span<const model::KvBuffer* const> at_hand, std::span<const int> wanted) {
  DKI_CHECK(at_hand.size() == plan.blocks.size());
  std::vector<kvcache::Block> blocks;
  blocks.reserve(wanted.size());  // chunks and segments point into it
  std::vector<const model::KvBuffer*> kv(at_hand.begin(), at_hand.end());
  std::vector<model::Chunk> chunks;
  for (const int i : wanted) {
    const PlannedBlock& planned = plan.blocks[i];
    const int n_tokens = static_cast<int>(planned.tokens.size());
    blocks.push_back({.identity = planned.identity,
                      .chain_memory_ids = planned.chain_memory_ids,
                      .tokens = planned.tokens,
                      .kv = model::KvBuffer(model->kv_shape(), n_tokens)});
    kv[i] = &blocks.back().kv;
    if (n_tokens == 0) continue;  // a family without a footer
    model::Chunk chunk{.tokens = planned.tokens,
                       .context = &blocks.back().kv,
                       .context_offset = static_cast<double>(context.size() + planned.start),
                       .segments = {{.kv = &context, .n_tokens = context.size()}},
                       .logits = model::LogitsWanted::kNone};
    for (int j = 0; j < i; ++j) {
      DKI_CHECK(kv[j] != nullptr);
      chunk.segments.push_back(
          {.kv = kv[j],
           .n_tokens = static_cast<int>(plan.blocks[j].tokens.size()),
           .offset = static_cast<double>(context.size() + plan.blocks[j].start)});
    }
    chunks.push_back(std::move(chunk));
  }
  if (!chunks.empty()) DKI_RETURN_IF_ERROR(model->Forward(chunks).status());
  return blocks;
}

absl::StatusOr<std::vector<kvcache::Block>> ComputePack(model::Model* model, const PackPlan& plan) {
  DKI_ASSIGN_OR_RETURN(const model::KvBuffer context, ComputeContext(model, plan.context_tokens));
  const std::vector<const model::KvBuffer*> at_hand(plan.blocks.size(), nullptr);
  std::vector<int> wanted(plan.blocks.size());
  std::iota(wanted.begin(), wanted.end(), 0);
  return ComputeBlocks(model, plan, context, at_hand, wanted);
}

}  // namespace dki::injection
