// SPDX-License-Identifier: Apache-2.0
// Purpose: a K/V block: the keys and values of one line of a pack (or its header or footer) and everything that must match
//   before they may be served (P5). Encoded, it is a header (identity, shape, chain, tokens), raw planes, and a checksum over all of it.
//   Reading verifies everything; any mismatch is DATA_LOSS and the block counts as absent.
// Thread-safety: plain data and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/kv_buffer.h"

namespace dki::kvcache {

inline constexpr uint32_t kLayoutVersion = 1;

// What a block is the K/V of. Its hash is the key that tiers store it under (design section 4, block keys).
struct BlockIdentity {
  std::string tenant_id;
  std::string memory_id;     // empty for header and footer
  std::string content_hash;  // SHA-256 hex of the line's token ids
  std::string model_fingerprint;
  std::string chain_hash;  // SHA-256 hex of the context chain: context, header, earlier memories of the pack
  bool operator==(const BlockIdentity&) const = default;
};

// Hexadecimal SHA-256 of the identity and the layout version, fields separated unambiguously.
std::string BlockKey(const BlockIdentity& identity);

// Everything of a block but its planes.
struct BlockHeader {
  BlockIdentity identity;
  model::KvShape shape;
  std::vector<std::string> chain_memory_ids;  // memories in its chain, its own included: erasing one finds the block
  std::vector<int32_t> tokens;
};

struct Block {
  BlockIdentity identity;
  std::vector<std::string> chain_memory_ids;
  std::vector<int32_t> tokens;
  model::KvBuffer kv;  // tokens.size() tokens, frame 0
};

// REQUIRES: kv.size() == tokens.size().
std::string EncodeBlock(const BlockIdentity& identity, const std::vector<std::string>& chain_memory_ids,
                        const std::vector<int32_t>& tokens, const model::KvBuffer& kv);
std::string EncodeBlock(const Block& block);

// Checks structure and checksum; DATA_LOSS otherwise.
absl::StatusOr<BlockHeader> ReadHeader(std::string_view bytes);

// Checks structure, checksum, and that the block is `expected`'s with `shape`; DATA_LOSS otherwise.
absl::Status VerifyBlock(std::string_view bytes, const BlockIdentity& expected, const model::KvShape& shape);

// Verifies and decodes.
absl::StatusOr<Block> DecodeBlock(std::string_view bytes, const BlockIdentity& expected, const model::KvShape& shape);

}  // namespace dki::kvcache
