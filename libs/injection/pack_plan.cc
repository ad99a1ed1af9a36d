// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/pack_plan.h"

#include <algorithm>
#include <utility>

#include "libs/base/sha256.h"

namespace dki::injection {
namespace {

// What a chain consists of so far, as the bytes that its hash is over: the context's tokens, then
// each block's memory id and tokens, every field with its length in front.
class Chain {
 public:
  explicit Chain(const std::vector<int32_t>& context_tokens) { AddTokens(context_tokens); }

  std::string Hash() const { return Sha256Hex(bytes_); }
  // Memories whose content is in the chain.
  const std::vector<std::string>& memory_ids() const { return memory_ids_; }

  void Add(const PlannedBlock& block) {
    const std::string& memory_id = block.identity.memory_id;
    AddNumber(memory_id.size());
    bytes_ += memory_id;
    AddTokens(block.tokens);
    if (block.kind == BlockKind::kMemory) memory_ids_.push_back(memory_id);
  }

 private:
  void AddNumber(uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>(value >> shift);
  }
  void AddTokens(const std::vector<int32_t>& tokens) {
    AddNumber(tokens.size());
    bytes_ += kvcache::TokenBytes(tokens);
  }

  std::string bytes_;
  std::vector<std::string> memory_ids_;
};

}  // namespace

PackPlan PlanPack(const model::ChatFormat& format, const std::string& tenant_id,
                  const std::string& model_fingerprint, const std::string& context_system_prompt,
                  const std::vector<PackMemoryText>& memories, kernels::KvFormat block_format) {
  PackPlan plan;
  plan.format = block_format;
  plan.context_tokens = format.RenderPrefix(context_system_prompt);
  Chain chain(plan.context_tokens);
  kvcache::BlockAttributes chain_attributes;  // what all later blocks take over
  const auto add = [&](BlockKind kind, const std::string& memory_id, std::vector<int32_t> tokens,
                       const MemoryAttributes& attributes) {
    if (!attributes.user_id.empty()) chain_attributes.user_id = attributes.user_id;
    chain_attributes.expire_time = std::min(chain_attributes.expire_time, attributes.expire_time);
    PlannedBlock block{.kind = kind,
                       .identity = {.tenant_id = tenant_id,
                                    .memory_id = memory_id,
                                    .content_hash = kvcache::ContentHash(tokens),
                                    .model_fingerprint = model_fingerprint,
                                    .chain_hash = chain.Hash(),
                                    .format = block_format},
                       .chain_memory_ids = chain.memory_ids(),
                       .attributes = chain_attributes,
                       .tokens = std::move(tokens),
                       .start = plan.n_tokens};
    block.attributes.pinned = attributes.pinned;
    block.attributes.priority = attributes.priority;
    if (kind == BlockKind::kMemory) block.chain_memory_ids.push_back(memory_id);
    chain.Add(block);
    plan.n_tokens += static_cast<int>(block.tokens.size());
    plan.blocks.push_back(std::move(block));
  };
  add(BlockKind::kHeader, "", format.PackHeader(), {});
  for (const PackMemoryText& memory : memories) {
    add(BlockKind::kMemory, memory.memory_id, format.PackLine(memory.text), memory.attributes);
  }
  add(BlockKind::kFooter, "", format.PackFooter(), {});
  return plan;
}

}  // namespace dki::injection
