// SPDX-License-Identifier: Apache-2.0
// Purpose: a K/V block: the keys and values of one line of a pack (or its header or footer) and
//   everything that must match before they may be served (P5). Reading verifies all of it; any
//   mismatch is DATA_LOSS and the block counts as absent.
//
//   Encoded, all numbers little-endian, strings with a 32-bit length in front:
//     "DKIB", layout version u32, total bytes u64, XXH3-128 of everything behind it (16 bytes)
//     identity: tenant, memory id, content hash, model fingerprint, chain hash
//     chain: count u32, memory ids
//     format u32 (0: f32, 1: f16, 2: bf16, 3: int8, 4: int4, 5: int2), of the planes; the identity
//     has the one that was wanted, the planes may have a better one
//     drift: KL f32, largest logit change f32; -1: not measured
//     n_layers, n_kv_heads, head_dim, n_tokens u32, token ids i32
//     planes (libs/model/plane_codec.h): for each layer keys, then values, in the block's frame
// Thread-safety: plain data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/kv_buffer.h"
#include "libs/model/plane_codec.h"

namespace dki::kvcache {

inline constexpr uint32_t kLayoutVersion = 2;

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
  // What the blocks of the pack are kept in, and so what this one was computed behind.
  kernels::KvFormat format = kernels::KvFormat::kF32;
  bool operator==(const BlockIdentity&) const = default;
};

// Hexadecimal SHA-256 of the identity and the layout version, fields separated unambiguously.
std::string BlockKey(const BlockIdentity& identity);

// What keeping a block in its format does to the model's next-token distributions on a fixed probe.
struct Drift {
  float kl = -1;            // mean, in nats; negative: not measured
  float logit_change = -1;  // the largest
  bool measured() const { return kl >= 0; }
  bool operator==(const Drift&) const = default;
};

struct Block {
  BlockIdentity identity;
  std::vector<std::string>
      chain_memory_ids;  // memories in its chain, its own included: erasing one finds the block
  std::vector<int32_t> tokens;
  model::KvBuffer kv;  // tokens.size() tokens, frame 0
  // Of the planes; no fewer bits than identity.format has.
  kernels::KvFormat format = kernels::KvFormat::kF32;
  Drift drift = {};
  // `kv` is what the model computed. Otherwise it has been through `format` before, and is not
  // encoded again: nothing is ever quantised twice.
  bool as_computed = true;
};

// REQUIRES: kv.size() == tokens.size(), and kv is as computed.
std::string EncodeBlock(const Block& block, const model::PlaneCodec& codec);
// Checks structure, checksum, that the block is `expected`'s, with `shape`, and that its tokens are
// those of the content hash. DATA_LOSS otherwise.
absl::Status VerifyBlock(std::string_view bytes, const BlockIdentity& expected,
                         const model::KvShape& shape);
// Verifies, then decodes: `codec` is the model's.
absl::StatusOr<Block> DecodeBlock(std::string_view bytes, const BlockIdentity& expected,
                                  const model::PlaneCodec& codec);

}  // namespace dki::kvcache
