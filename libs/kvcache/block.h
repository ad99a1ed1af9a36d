// SPDX-License-Identifier: Apache-2.0
// Purpose: a K/V block: the keys and values of one line of a pack (or its header or footer) and
//   everything that must match before they may be served (P5). Reading verifies all of it; any
//   mismatch is DATA_LOSS and the block counts as absent.
//
//   Encoded, all numbers little-endian, strings with a 32-bit length in front:
//     "DKIB", layout version u32, total bytes u64, XXH3-128 of everything behind it (16 bytes)
//     identity: tenant, memory id, content hash, model fingerprint, chain hash
//     chain: count u32, memory ids
//     format u32 (1: float32), n_layers, n_kv_heads, head_dim, n_tokens u32, token ids i32
//     for each layer: keys, then values, [n_tokens, n_kv_heads, head_dim], in the block's frame
// Thread-safety: plain data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/kv_buffer.h"

namespace dki::kvcache {

inline constexpr uint32_t kLayoutVersion = 1;

// Token ids as bytes: little-endian, four each.
std::string TokenBytes(std::span<const int32_t> tokens);
// Hexadecimal SHA-256 of TokenBytes.
std::string ContentHash(std::span<const int32_t> tokens);

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

// REQUIRES: kv.size() == tokens.size().
std::string EncodeBlock(const Block& block);
// Checks structure, checksum, that the block is `expected`'s, with `shape`, and that its tokens are
// those of the content hash. DATA_LOSS otherwise.
absl::Status VerifyBlock(std::string_view bytes, const BlockIdentity& expected,
                         const model::KvShape& shape);
// Verifies, then copies out.
absl::StatusOr<Block> DecodeBlock(std::string_view bytes, const BlockIdentity& expected,
                                  const model::KvShape& shape);

}  // namespace dki::kvcache
