// SPDX-License-Identifier: Apache-2.0
// Keys and values as unsigned codes of 8, 4 or 2 bits in groups of 32 tokens, in the form that
// attention reads (design, section 4):
//
//   x = minimum + scale * code, scale and minimum as halves
//
// Keys share them along the tokens of a channel, since single channels of keys are large (KIVI,
// arXiv:2402.02750), or along the channels of a token (KeyGroups). Values share them among 32
// channels of a token. The minimum is rounded down and the scale up, so that no value is clipped:
// the error is at most half a scale.
//
// A group of one K/V head, with head_dim padded to a multiple of 32 by zeros (n_channels):
//   keys    scale[n], minimum[n]           halves; n = n_channels, or 32 tokens for kToken
//           one panel: quads of channels, its 32 columns are the tokens
//   values  scale[n_channels / 32][32], minimum[n_channels / 32][32]   halves, of each token
//           n_channels / 32 panels: quads of tokens, their 32 columns are the channels
// A panel is n_quads x 32 columns x 4 codes. Sixteen columns with the four codes of a quad lie
// together, 64 codes to a step, so that one integer instruction multiplies them with four weights
// and adds them up. Step quad * 2 + column / 16 fills, with 8-bit codes, 64 bytes of its own; with
// fewer bits it shares them with the next steps: step s is field s % (8 / bits) of the bytes from
// s / (8 / bits) * 64 on, the first field in the low bits.
//
// The codes begin after 4 * n_channels bytes. A last group of fewer tokens takes the same room; its
// other codes are zero. Of fewer than 8 tokens a channel's range says little: keep such keys in
// int8 per token, as a segment of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/isa.h"
#include "kernels/kv_format.h"
#include "kernels/rope.h"

namespace dki::kernels {

inline constexpr int kKvGroup = 32;  // tokens

// Quantised keys or values of one layer.
struct KvGroupShape {
  KvFormat format = KvFormat::kInt8;
  KeyGroups key_groups = KeyGroups::kChannel;
  int n_kv_heads = 0;
  int head_dim = 0;
  // Of kChannelFirst.
  RopePairs pairs = RopePairs::kInterleaved;
  int n_rot = 0;

  int n_channels() const { return (head_dim + 31) / 32 * 32; }
};

// Bytes of a group of one K/V head; the same for keys and values, and for short groups; a
// multiple of 64.
inline size_t KvGroupBytes(const KvGroupShape& shape) {
  const size_t n = shape.n_channels();
  return 4 * n + n * kKvGroup * CodeBits(shape.format) / 8;
}
inline int KvGroups(int n_tokens) {
  return (n_tokens + kKvGroup - 1) / kKvGroup;
}

// cos and sin of every token of each tile of 64, for KvSegment::key_rotations.
// frequencies: [n_rot / 2]; result: [n_tiles, n_rot / 2, 2, 64].
std::vector<float> KeyRotations(const std::vector<double>& frequencies, int n_tiles);

// keys, values: [n_tokens, n_kv_heads, head_dim], the keys rotated, token 0 being the first of a
// tile. groups: [KvGroups(n_tokens), n_kv_heads, KvGroupBytes], aligned to 64 bytes. rotations: of
// the tokens' tiles, for kChannelFirst only.
void EncodeKeys(Isa isa, const KvGroupShape& shape, const float* keys, int n_tokens,
                const float* rotations, uint8_t* groups);
void EncodeValues(Isa isa, const KvGroupShape& shape, const float* values, int n_tokens,
                  uint8_t* groups);
// The inverse, up to half a scale.
void DecodeKeys(Isa isa, const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                const float* rotations, float* keys);
void DecodeValues(Isa isa, const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                  float* values);

}  // namespace dki::kernels
