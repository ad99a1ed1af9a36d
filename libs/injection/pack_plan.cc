// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/pack_plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "libs/base/sha256.h"
#include "libs/injection/alpha_policy.h"

namespace dki::injection {
namespace {

void TakeOver(const std::string& user_id, absl::Time expire_time,
              kvcache::BlockAttributes* attributes) {
  if (!user_id.empty()) attributes->user_id = user_id;
  attributes->expire_time = std::min(attributes->expire_time, expire_time);
}

// What a block is computed behind: the context, then blocks. Hashed as bytes: the context's tokens,
// then each block's memory id, tokens and first token used, every field with its length in front;
// then the composition where the K/V depends on it. (No length is as large as that reads as one.)
class Chain {
 public:
  Chain(const std::vector<int32_t>& context_tokens, std::string composition)
      : composition_(std::move(composition)) {
    AddTokens(context_tokens);
  }

  std::string Hash() const { return Sha256Hex(bytes_ + composition_); }
  // Memories whose content is in the chain, each once.
  const std::vector<std::string>& memory_ids() const { return memory_ids_; }
  const std::vector<int>& blocks() const { return blocks_; }
  // What a block that is computed behind it takes over.
  const kvcache::BlockAttributes& attributes() const { return attributes_; }

  void Add(int index, const PlannedBlock& block) {
    const std::string& memory_id = block.identity.memory_id;
    AddNumber(memory_id.size());
    bytes_ += memory_id;
    AddTokens(block.tokens);
    AddNumber(block.begin);
    if (block.memory >= 0 && (memory_ids_.empty() || memory_ids_.back() != memory_id)) {
      memory_ids_.push_back(memory_id);
    }
    blocks_.push_back(index);
    TakeOver(block.attributes.user_id, block.attributes.expire_time, &attributes_);
  }

 private:
  void AddNumber(uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>(value >> shift);
  }
  void AddTokens(const std::vector<int32_t>& tokens) {
    AddNumber(tokens.size());
    bytes_ += kvcache::TokenBytes(tokens);
  }

  const std::string composition_;
  std::string bytes_;
  std::vector<std::string> memory_ids_;
  std::vector<int> blocks_;
  kvcache::BlockAttributes attributes_;
};

class Planner {
 public:
  Planner(const model::ChatFormat& format, std::string tenant_id, std::string model_fingerprint,
          const std::string& context_system_prompt, kernels::KvFormat block_format,
          const Composition& composition)
      : tenant_id_(std::move(tenant_id)),
        model_fingerprint_(std::move(model_fingerprint)),
        composition_(composition),
        lead_in_(format.RenderPrefix(context_system_prompt), ""),
        joint_(format.RenderPrefix(context_system_prompt),
               composition.kind == CompositionKind::kBlend ? ToString(composition) : ""),
        all_(joint_) {
    plan_.format = block_format;
    plan_.context_tokens = format.RenderPrefix(context_system_prompt);
    Add({.kind = BlockKind::kHeader, .tokens = format.PackHeader()}, lead_in_);
    for (Chain* chain : {&joint_, &lead_in_, &all_}) chain->Add(0, plan_.blocks[0]);
  }

  void AddMemory(int index, const PackMemoryText& memory, std::vector<int32_t> tokens) {
    const bool joins = !IsCapped(memory.attributes.source_class);
    const auto n_tokens = static_cast<int>(tokens.size());
    PlannedBlock block{.tokens = std::move(tokens), .memory = index};
    block.identity.memory_id = memory.memory_id;
    block.attributes = {.user_id = memory.attributes.user_id,
                        .pinned = memory.attributes.pinned,
                        .priority = memory.attributes.priority,
                        .expire_time = memory.attributes.expire_time};
    switch (composition_.kind) {
      case CompositionKind::kPack:
        return AddMemoryBlock(std::move(block), joint_, joins);
      case CompositionKind::kIndependent:
        return AddMemoryBlock(std::move(block), lead_in_, false);
      case CompositionKind::kAuto:
        if (n_tokens < kLongLineTokens) return AddMemoryBlock(std::move(block), joint_, joins);
        AddMemoryBlock(std::move(block), lead_in_, false);
        if (joins) all_.Add(static_cast<int>(plan_.blocks.size()) - 1, plan_.blocks.back());
        return;
      case CompositionKind::kBlend:
        return AddBlended(std::move(block), joins);
      case CompositionKind::kRepair:
        break;
    }
    const int n_head = std::min(composition_.repair_tokens, n_tokens);
    PlannedBlock head = block;
    head.tokens.resize(n_head);
    AddMemoryBlock(std::move(head), joint_, joins);
    if (n_head == n_tokens) return;
    block.begin = n_head;
    AddMemoryBlock(std::move(block), lead_in_, joins);
  }

  PackPlan Finish(std::vector<int32_t> footer) {
    Add({.kind = BlockKind::kFooter, .tokens = std::move(footer)}, all_);
    return std::move(plan_);
  }

 private:
  // Behind nothing but the lead-in a memory is what it is alone.
  void AddBlended(PlannedBlock block, bool joins) {
    plan_.alone.push_back(Identified(block, lead_in_));
    if (joint_.blocks() == lead_in_.blocks()) {
      return AddMemoryBlock(std::move(block), lead_in_, joins);
    }
    const auto n_tokens = static_cast<double>(block.tokens.size());
    block.n_recomputed = static_cast<int>(std::ceil(composition_.blend_share * n_tokens));
    AddMemoryBlock(std::move(block), joint_, joins);
  }

  void AddMemoryBlock(PlannedBlock block, const Chain& chain, bool joins) {
    Add(std::move(block), chain);
    if (!joins) return;
    for (Chain* chain : {&joint_, &all_}) {
      chain->Add(static_cast<int>(plan_.blocks.size()) - 1, plan_.blocks.back());
    }
  }

  void Add(PlannedBlock block, const Chain& chain) {
    block = Identified(std::move(block), chain);
    block.start = plan_.n_tokens - block.begin;
    plan_.n_tokens += block.n_used();
    plan_.blocks.push_back(std::move(block));
  }

  // As it is behind `chain`.
  PlannedBlock Identified(PlannedBlock block, const Chain& chain) const {
    block.identity.tenant_id = tenant_id_;
    block.identity.content_hash = kvcache::ContentHash(block.tokens);
    block.identity.model_fingerprint = model_fingerprint_;
    block.identity.chain_hash = chain.Hash();
    block.identity.format = plan_.format;
    block.chain_memory_ids = chain.memory_ids();
    if (block.attributes.user_id.empty()) block.attributes.user_id = chain.attributes().user_id;
    block.attributes.expire_time =
        std::min(block.attributes.expire_time, chain.attributes().expire_time);
    const std::string& own = block.identity.memory_id;
    if (block.memory >= 0 &&
        std::ranges::find(block.chain_memory_ids, own) == block.chain_memory_ids.end()) {
      block.chain_memory_ids.push_back(own);
    }
    block.behind = chain.blocks();
    return block;
  }

  const std::string tenant_id_;
  const std::string model_fingerprint_;
  const Composition composition_;
  PackPlan plan_;
  Chain lead_in_;  // what an independent block is behind
  Chain joint_;    // what the next one of a joint prefill is behind
  Chain all_;      // what the footer is behind: with kAuto the long ones, too
};

}  // namespace

PackPlan PlanPack(const model::ChatFormat& format, const std::string& tenant_id,
                  const std::string& model_fingerprint, const std::string& context_system_prompt,
                  const std::vector<PackMemoryText>& memories, kernels::KvFormat block_format,
                  const Composition& composition) {
  Planner planner(format, tenant_id, model_fingerprint, context_system_prompt, block_format,
                  composition);
  for (size_t i = 0; i < memories.size(); ++i) {
    planner.AddMemory(static_cast<int>(i), memories[i], format.PackLine(memories[i].text));
  }
  return planner.Finish(format.PackFooter());
}

int TokensInCompany(const PackPlan& plan) {
  int n_tokens = 0;
  for (const PlannedBlock& block : plan.blocks) {
    const bool in_company = std::ranges::any_of(
        block.behind, [&](int before) { return plan.blocks[before].memory >= 0; });
    if (block.memory < 0 || !in_company) continue;
    n_tokens += block.is_blended() ? block.n_recomputed : static_cast<int>(block.tokens.size());
  }
  return n_tokens;
}

}  // namespace dki::injection
