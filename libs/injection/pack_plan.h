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

#include "libs/injection/composition.h"
#include "libs/injection/memory_attributes.h"
#include "libs/kvcache/block.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/model/chat_format.h"

namespace dki::injection {

struct PackMemoryText {
  std::string memory_id;
  std::string text;
  // One of a capped source class is in no other block's chain (IsCapped).
  MemoryAttributes attributes = {};
};

enum class BlockKind { kHeader, kMemory, kFooter };

struct PlannedBlock {
  BlockKind kind = BlockKind::kMemory;
  kvcache::BlockIdentity identity = {};
  std::vector<std::string> chain_memory_ids = {};
  kvcache::BlockAttributes attributes = {};
  std::vector<int32_t> tokens = {};
  int start = 0;  // index of its first token within the pack
  // The first of its tokens that is attended to. Those in front of it stand in the block before,
  // where they were computed once more (CompositionKind::kRepair).
  int begin = 0;
  // Blocks that it is computed behind, one directly after the other; ascending.
  std::vector<int> behind = {};
  int memory = -1;  // index of its memory; header and footer have none

  int n_used() const { return static_cast<int>(tokens.size()) - begin; }
};

struct PackPlan {
  std::vector<int32_t> context_tokens;  // the shared prefix that the pack is computed behind
  std::vector<PlannedBlock> blocks;     // header, memories in order, footer
  int n_tokens = 0;                     // attended to, of all blocks
  kernels::KvFormat format = kernels::KvFormat::kF32;  // that the blocks are to be kept in
};

// The plan of a pack of `memories` behind RenderPrefix(context_system_prompt), kept in
// `block_format`. A memory has a block, or two where its first tokens are repaired. Whatever the
// composition, a memory of a capped source class has no influence on the K/V of any other block:
// they are the same, under the same keys, with and without it.
PackPlan PlanPack(const model::ChatFormat& format, const std::string& tenant_id,
                  const std::string& model_fingerprint, const std::string& context_system_prompt,
                  const std::vector<PackMemoryText>& memories, kernels::KvFormat block_format,
                  const Composition& composition = Composition());

}  // namespace dki::injection
