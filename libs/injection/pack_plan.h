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
  // Of its tokens so many are computed behind `behind`, those that deviate most; the others are
  // those of PackPlan::alone[memory] (CompositionKind::kBlend). -1: all are.
  int n_recomputed = -1;
  // Blocks that it is computed behind, one directly after the other; ascending.
  std::vector<int> behind = {};
  int memory = -1;  // index of its memory; header and footer have none

  int n_used() const { return static_cast<int>(tokens.size()) - begin; }
  bool is_blended() const { return n_recomputed >= 0; }
};

struct PackPlan {
  std::vector<int32_t> context_tokens;  // the shared prefix that the pack is computed behind
  std::vector<PlannedBlock> blocks;     // header, memories in order, footer
  int n_tokens = 0;                     // attended to, of all blocks
  // With kBlend: of each memory the block that its own is made from, under the key that it has as
  // kIndependent, so it is found in any company. Else empty.
  std::vector<PlannedBlock> alone;
  kernels::KvFormat format = kernels::KvFormat::kF32;  // that the blocks are to be kept in
};

// The plan of a pack of `memories` behind RenderPrefix(context_system_prompt), kept in
// `block_format`. A memory has a block, or two where its first tokens are repaired. Whatever the
// composition, a memory of a capped source class has no influence on the K/V of any other block:
// they are the same, under the same keys, with and without it.
//
// A plan cannot know which tokens kBlend recomputes, and need not: the choice is a function of the
// block's own tokens, its chain and the share, which are all in its key. That is why the share is
// taken of each memory and not of the pack as a whole: a memory's block would depend on those
// behind it, and on capped ones.
PackPlan PlanPack(const model::ChatFormat& format, const std::string& tenant_id,
                  const std::string& model_fingerprint, const std::string& context_system_prompt,
                  const std::vector<PackMemoryText>& memories, kernels::KvFormat block_format,
                  const Composition& composition = Composition());

// The memories' tokens that are computed behind other memories: what the pack costs where each
// memory is at hand as it is computed alone.
int TokensInCompany(const PackPlan& plan);

}  // namespace dki::injection
