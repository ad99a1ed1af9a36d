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

ChainSegments SegmentsOfChain(const PackPlan& plan, const model::KvBuffer& context,
                              std::span<const model::KvBuffer* const> kv, int index) {
  ChainSegments chain{{{.kv = &context, .n_tokens = context.size()}},
                      static_cast<double>(context.size())};
  for (const int j : plan.blocks[index].behind) {
    DKI_CHECK(kv[j] != nullptr);
    const PlannedBlock& before = plan.blocks[j];
    chain.segments.push_back({.kv = kv[j],
                              .begin = before.begin,
                              .n_tokens = before.n_used(),
                              .offset = chain.end - before.begin});
    chain.end += before.n_used();
  }
  return chain;
}

absl::StatusOr<std::vector<ComputedBlock>> ComputeBlocks(
    model::Model* model, const model::PlaneCodec& codec, const PackPlan& plan,
    const model::KvBuffer& context, std::span<const model::KvBuffer* const> at_hand,
    std::span<const int> wanted) {
  DKI_CHECK(at_hand.size() == plan.blocks.size());
  const bool exact = plan.format == kernels::KvFormat::kF32;
  std::vector<ComputedBlock> blocks;
  blocks.reserve(wanted.size());  // chunks and segments point into it
  std::vector<const model::KvBuffer*> kv(at_hand.begin(), at_hand.end());
  std::vector<model::Chunk> chunks;
  for (const int i : wanted) {
    const PlannedBlock& planned = plan.blocks[i];
    DKI_CHECK(!planned.is_blended());
    const int n_tokens = static_cast<int>(planned.tokens.size());
    blocks.push_back({{.identity = planned.identity,
                       .chain_memory_ids = planned.chain_memory_ids,
                       .tokens = planned.tokens,
                       .kv = model::KvBuffer(codec.shape(), n_tokens),
                       .format = plan.format},
                      model::KvBuffer(codec.shape(), exact ? 0 : n_tokens)});
    ComputedBlock& block = blocks.back();
    kv[i] = exact ? &block.block.kv : &block.kept;
    if (n_tokens == 0) continue;  // a family without a footer
    ChainSegments chain = SegmentsOfChain(plan, context, kv, i);
    model::Chunk chunk{.tokens = planned.tokens,
                       .context = &block.block.kv,
                       .context_offset = chain.end,
                       .segments = std::move(chain.segments),
                       .logits = model::LogitsWanted::kNone};
    if (!exact) chunk.rounded = {&codec, plan.format, &block.kept};
    chunks.push_back(std::move(chunk));
  }
  if (!chunks.empty()) DKI_RETURN_IF_ERROR(model->Forward(chunks).status());
  if (exact) {
    for (ComputedBlock& block : blocks) block.kept = block.block.kv.Share(block.block.kv.size());
  }
  return blocks;
}

absl::StatusOr<std::vector<ComputedBlock>> ComputePack(model::Model* model,
                                                       const model::PlaneCodec& codec,
                                                       const PackPlan& plan) {
  DKI_ASSIGN_OR_RETURN(const model::KvBuffer context, ComputeContext(model, plan.context_tokens));
  const std::vector<const model::KvBuffer*> at_hand(plan.blocks.size(), nullptr);
  std::vector<int> wanted(plan.blocks.size());
  std::iota(wanted.begin(), wanted.end(), 0);
  return ComputeBlocks(model, codec, plan, context, at_hand, wanted);
}

}  // namespace dki::injection
