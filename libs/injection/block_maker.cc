// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/block_maker.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "libs/injection/blend_block.h"
#include "libs/injection/compute_pack.h"

namespace dki::injection {
namespace {

using kernels::KvFormat;

constexpr char kProbe[] = "What do the notes say?";

// What a block is kept in when `format` loses too much of it.
KvFormat NextBetter(KvFormat format) {
  switch (format) {
    case KvFormat::kInt2:
      return KvFormat::kInt4;
    case KvFormat::kInt4:
      return KvFormat::kInt8;
    default:
      return KvFormat::kF16;
  }
}

// Natural logarithms of the distribution that `logits` stand for, in double.
std::vector<double> LogSoftmax(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double log_sum = largest + std::log(sum);
  std::vector<double> logs;
  logs.reserve(logits.size());
  for (const float logit : logits) logs.push_back(logit - log_sum);
  return logs;
}

// Logits of n rows each.
kvcache::Drift DriftOf(std::span<const float> exact, std::span<const float> kept, int n) {
  const size_t size = exact.size() / n;
  double kl = 0, change = 0;
  for (int row = 0; row < n; ++row) {
    const auto p = LogSoftmax(exact.subspan(row * size, size));
    const auto q = LogSoftmax(kept.subspan(row * size, size));
    for (size_t i = 0; i < size; ++i) {
      kl += std::exp(p[i]) * (p[i] - q[i]);
      change = std::max(change, std::fabs(double{exact[row * size + i]} - kept[row * size + i]));
    }
  }
  // Rounding can make it a little less than nothing, which would read as not measured.
  const double mean = std::isfinite(kl) ? std::max(0.0, kl / n) : HUGE_VAL;
  return {.kl = static_cast<float>(mean), .logit_change = static_cast<float>(change)};
}

}  // namespace

BlockMaker::BlockMaker(model::Model* model, const model::ChatFormat& format, DriftOptions options)
    : model_(model), codec_(model->config()), options_(options) {
  if (const auto message = format.RenderMessage({"user", kProbe}); message.ok()) probe_ = *message;
  const std::vector<int32_t> header = format.RenderAnswerHeader();
  probe_.insert(probe_.end(), header.begin(), header.end());
}

bool BlockMaker::IsMeasured(const kvcache::BlockIdentity& identity, KvFormat format) const {
  if (!kernels::IsQuantized(format) || probe_.empty()) return false;
  if (kernels::CodeBits(format) < 8) return true;
  const uint64_t place = std::stoull(kvcache::BlockKey(identity).substr(0, 12), nullptr, 16);
  return place % static_cast<uint64_t>(options_.int8_one_in) == 0;
}

absl::StatusOr<kvcache::Drift> BlockMaker::Measure(const PackPlan& plan,
                                                   const model::KvBuffer& context,
                                                   std::span<const model::KvBuffer* const> in_front,
                                                   int index, const model::KvBuffer& exact,
                                                   const model::KvBuffer& kept) {
  const ChainSegments chain = SegmentsOfChain(plan, context, in_front, index);
  model::KvBuffer contexts[] = {model::KvBuffer(codec_.shape(), 0),
                                model::KvBuffer(codec_.shape(), 0)};
  model::Chunk chunks[2];
  for (int k = 0; k < 2; ++k) {
    chunks[k].tokens = probe_;
    chunks[k].context = &contexts[k];
    chunks[k].context_offset = chain.end + exact.size();
    chunks[k].segments = chain.segments;
    chunks[k].segments.push_back(
        {.kv = k == 0 ? &exact : &kept, .n_tokens = exact.size(), .offset = chain.end});
    chunks[k].logits = model::LogitsWanted::kAll;
  }
  DKI_ASSIGN_OR_RETURN(const std::vector<float> logits, model_->Forward(chunks));
  const std::span<const float> all(logits);
  return DriftOf(all.first(all.size() / 2), all.subspan(all.size() / 2),
                 static_cast<int>(probe_.size()));
}

absl::StatusOr<std::vector<MadeBlock>> BlockMaker::Make(
    const PackPlan& plan, const model::KvBuffer& context,
    std::span<const model::KvBuffer* const> at_hand, std::span<const int> wanted) {
  DKI_ASSIGN_OR_RETURN(std::vector<ComputedBlock> computed,
                       ComputeBlocks(model_, codec_, plan, context, at_hand, wanted));
  std::vector<const model::KvBuffer*> kept(at_hand.begin(), at_hand.end());
  std::vector<MadeBlock> made;
  for (size_t k = 0; k < wanted.size(); ++k) {
    const int index = wanted[k];
    MadeBlock next{std::move(computed[k].block), std::move(computed[k].kept), {}};
    kvcache::Block& block = next.block;
    while (block.kv.size() > 0 && (IsMeasured(block.identity, block.format) ||
                                   (!next.refused.empty() && kernels::IsQuantized(block.format)))) {
      DKI_ASSIGN_OR_RETURN(block.drift, Measure(plan, context, kept, index, block.kv, next.kept));
      if (block.drift.kl <= options_.budget) break;
      next.refused.emplace_back(block.format, block.drift);
      block.drift = {};
      block.format = NextBetter(block.format);
      next.kept = codec_.Round(block.format, block.kv);
    }
    computed[k].kept = next.kept.Share(next.kept.size());  // stays where it is
    kept[index] = &computed[k].kept;
    made.push_back(std::move(next));
    // The rest was computed behind what this block would have been.
    if (!made.back().refused.empty()) break;
  }
  return made;
}

absl::StatusOr<MadeBlock> BlockMaker::MakeBlended(const PackPlan& plan,
                                                  const model::KvBuffer& context,
                                                  std::span<const model::KvBuffer* const> at_hand,
                                                  int index) {
  const PlannedBlock& planned = plan.blocks[index];
  // The header and the memory: what kIndependent has of it.
  PackPlan alone_plan;
  alone_plan.context_tokens = plan.context_tokens;
  alone_plan.blocks = {plan.blocks[0], plan.alone[planned.memory]};
  alone_plan.format = plan.format;
  const model::KvBuffer* const header[] = {at_hand[0], nullptr};
  constexpr int kAlone[] = {1};
  DKI_ASSIGN_OR_RETURN(const std::vector<MadeBlock> alone,
                       Make(alone_plan, context, header, kAlone));
  DKI_ASSIGN_OR_RETURN(BlendedKv blended,
                       BlendBlock(model_, plan, context, at_hand, index, alone[0].kept));
  MadeBlock made{.block = {.identity = planned.identity,
                           .chain_memory_ids = planned.chain_memory_ids,
                           .tokens = planned.tokens,
                           .kv = std::move(blended.kv),
                           .format = KvFormat::kF32},
                 .kept = model::KvBuffer(codec_.shape(), 0),
                 .refused = {}};
  made.kept = made.block.kv.Share(made.block.kv.size());
  return made;
}

absl::StatusOr<std::vector<MadeBlock>> BlockMaker::MakePack(const PackPlan& plan) {
  DKI_ASSIGN_OR_RETURN(const model::KvBuffer context, ComputeContext(model_, plan.context_tokens));
  std::vector<MadeBlock> pack;
  while (pack.size() < plan.blocks.size()) {
    std::vector<const model::KvBuffer*> at_hand(plan.blocks.size(), nullptr);
    for (size_t i = 0; i < pack.size(); ++i) at_hand[i] = &pack[i].kept;
    const int next = static_cast<int>(pack.size());
    if (plan.blocks[next].is_blended()) {
      DKI_ASSIGN_OR_RETURN(MadeBlock blended, MakeBlended(plan, context, at_hand, next));
      pack.push_back(std::move(blended));
      continue;
    }
    std::vector<int> wanted;  // up to the next blended one
    for (int i = next; i < static_cast<int>(plan.blocks.size()); ++i) {
      if (plan.blocks[i].is_blended()) break;
      wanted.push_back(i);
    }
    DKI_ASSIGN_OR_RETURN(std::vector<MadeBlock> made, Make(plan, context, at_hand, wanted));
    for (MadeBlock& block : made) pack.push_back(std::move(block));
  }
  return pack;
}

}  // namespace dki::injection
