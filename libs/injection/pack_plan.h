// SPDX-License-Identifier: Apache-2.0
// Purpose: what a pack consists of, before any K/V exists: the blocks (header, a line per memory,
// footer), their tokens, and
//   the identity under which each block's K/V is cached. kv computes from it, generation checks
//   against it, so both agree.
// Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/injection/memory_attributes.h"
#include "libs/kvcache/block.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/model/chat_format.h"

namespace dki::injection {

struct PackMemoryText {
  std::string memory_id;
  std::string text;
  MemoryAttributes attributes = {};
};

enum class BlockKind { kHeader, kMemory, kFooter };

struct PlannedBlock {
  BlockKind kind = BlockKind::kMemory;
  kvcache::BlockIdentity identity;
  std::vector<std::string> chain_memory_ids;
  kvcache::BlockAttributes attributes;
  std::vector<int32_t> tokens;
  int start = 0;  // index of its first token within the pack
};

struct PackPlan {
  std::vector<int32_t> context_tokens;  // the shared prefix that the pack is computed behind
  std::vector<PlannedBlock> blocks;     // header, memories in order, footer
  int n_tokens = 0;                     // of all blocks
  kernels::KvFormat format = kernels::KvFormat::kF32;  // that the blocks are to be kept in
};

// The plan of a pack of `memories` behind RenderPrefix(context_system_prompt), kept in
// `block_format`.
PackPlan PlanPack(const model::ChatFormat& format, const std::string& tenant_id,
                  const std::string& model_fingerprint, const std::string& context_system_prompt,
                  const std::vector<PackMemoryText>& memories, kernels::KvFormat block_format);

}  // namespace dki::injection
