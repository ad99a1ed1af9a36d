// SPDX-License-Identifier: Apache-2.0
// Attention of query rows over a list of K/V segments (design, section 3): the one operation that
// memory injection, prefix reuse and plain causal attention are data for.
//
// For each row and head, and for each segment in order, the query is rotated into the segment's
// frame; the segment's tokens are taken in tiles of 64 at absolute multiples of 64 of the buffer
// index, and the tiles' states are merged in order. So a row's result depends on nothing but its
// own keys and their place in their buffers (P11), and a segment may be cut at a multiple of 64
// without changing a bit. Several rows share the work of preparing a tile; that changes no bit
// either, as every row keeps its own order of operations.
#pragma once

#include <cstdint>

#include "kernels/isa.h"
#include "kernels/kv_format.h"
#include "kernels/rope.h"

namespace dki::kernels {

inline constexpr int kAttentionTile = 64;     // tokens
inline constexpr int kAttentionRowBlock = 8;  // rows that are taken together
inline constexpr int kMaxHeadDim = 256;       // channels

struct KvSegment {
  // Keys and values may have different formats, and every segment its own.
  KvFormat key_format = KvFormat::kF32;
  KvFormat value_format = KvFormat::kF32;
  KeyGroups key_groups = KeyGroups::kChannel;  // of quantised keys
  // F32, F16, BF16: [n_buffer_tokens, n_kv_heads, head_dim], key j rotated by j. Quantised formats:
  // groups of 32 tokens (kv_codec.h), [n_buffer_groups, n_kv_heads, bytes of a group].
  const void* keys = nullptr;
  const void* values = nullptr;
  // For keys that were quantised before their rotation: the rotations of the buffer's tokens, see
  // KeyRotations in kv_codec.h. [n_buffer_tiles, n_rot / 2, 2, 64]
  const float* key_rotations = nullptr;
  int begin = 0;        // first token attended to
  int n_tokens = 0;     // row r sees tokens [begin, begin + n_tokens), and
  bool causal = false;  // where causal, r more: the rows' own tokens
  // A sliding window: row r sees no token before first_visible[r], or null for none. [n_rows]
  const int* first_visible = nullptr;
  float log_alpha = 0.0f;  // bias of all logits; -infinity: the segment is skipped
  // Bias of each token and K/V head, or null. [n_buffer_tokens, n_kv_heads]
  const float* log_gates = nullptr;
  // The rows' rotations into this segment's frame (RopeTable), or null for none. [n_rows, n_rot]
  const float* rotations = nullptr;
};

struct AttentionOp {
  int n_rows = 0;
  int n_heads = 0;
  int n_kv_heads = 0;  // REQUIRES: divides n_heads
  int head_dim = 0;    // at most kMaxHeadDim
  int n_rot = 0;       // at most head_dim
  RopePairs pairs = RopePairs::kInterleaved;
  float scale = 1.0f;        // of the logits, usually 1 / sqrt(head_dim)
  const float* q = nullptr;  // [n_rows, n_heads, head_dim], not rotated
  float* out = nullptr;      // [n_rows, n_heads, head_dim]; zeros where there is no key at all
  const KvSegment* segments = nullptr;  // [n_segments]
  int n_segments = 0;
  // Softmax mass of each segment, or null. [n_rows, n_heads, n_segments, 2]: as weighed by alpha,
  // and as if every alpha were 1 (0 for a skipped segment, whose logits are not computed).
  double* mass = nullptr;

  // Independent units of work, in this order: [row blocks, n_heads].
  int n_units() const { return (n_rows + kAttentionRowBlock - 1) / kAttentionRowBlock * n_heads; }
};

// Computes the units [begin, end). Query heads that share a K/V head are taken together where they
// are in one range.
void Attention(Isa isa, const AttentionOp& op, int begin, int end);

}  // namespace dki::kernels
