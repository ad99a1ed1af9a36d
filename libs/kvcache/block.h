// SPDX-License-Identifier: Apache-2.0
// Purpose: a K/V block: the keys and values of one line of a pack (or its header or footer) and
// everything that must match
//   before they may be served (P5). Encoded: a header with identity, shape, format, chain and
//   tokens; raw planes; checksum over all of it. Reading verifies all; any mismatch is DATA_LOSS
//   and the block counts as absent.
// Thread-safety: plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/kv_buffer.h"

namespace dki::kvcache {

inline constexpr uint32_t kLayoutVersion = 1;

// What a block is the K/V of. Its hash is the key that tiers store it under (design section 4,
// block keys).
struct BlockIdentity {
  std::string tenant_id;
  std::string memory_id;     // empty for header and footer
  std::string content_hash;  // SHA-256 hex of the line's token ids
  std::string model_fingerprint;
  std::string chain_hash;  // SHA-256 hex of the context chain: context, lead-in, earlier memories
                           // of the pack
  bool operator==(const BlockIdentity&) const = default;
};

// Hexadecimal SHA-256 of the identity and the layout version, fields separated unambiguously.
std::string BlockKey(const BlockIdentity& identity);

struct Block {
  BlockIdentity identity;
  std::vector<std::string>
      chain_memory_ids;  // memories in its chain, its own included: erasing one finds the block
  std::vector<int32_t> tokens;
  model::KvBuffer kv;  // tokens.size() tokens, frame 0
};

std::string EncodeBlock(const Block& block);
// Checks structure, checksum and that the block is `expected`'s, with `shape`. DATA_LOSS otherwise.
absl::StatusOr<Block> DecodeBlock(std::string_view bytes, const BlockIdentity& expected,
                                  const model::KvShape& shape);

}  // namespace dki::kvcache
