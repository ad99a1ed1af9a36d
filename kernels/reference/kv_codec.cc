// SPDX-License-Identifier: Apache-2.0
#include "kernels/kv_codec.h"

#include <cstring>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/reference/reference.h"

namespace dki::kernels::reference {
namespace {

float HalfAt(const uint8_t* header, int index) {
  uint16_t half;
  std::memcpy(&half, header + 2 * index, sizeof(half));
  return HalfToFloat(half);
}

// Code `i` of a quad and column of a panel.
int CodeAt(const uint8_t* panel, int bits, int quad, int column, int i) {
  const int fields = bits == 8 ? 1 : bits == 4 ? 2 : 4;  // in a byte
  const int step = quad * 2 + column / 16;
  const uint8_t byte = panel[step / fields * 64 + column % 16 * 4 + i];
  return byte >> (step % fields * bits) & ((1 << bits) - 1);
}

// Calls body(the head's group, token within it, the token's row of that head in the plane).
template <typename Body>
void ForRows(const KvGroupShape& shape, const uint8_t* groups, int n_tokens, Body body) {
  for (int token = 0; token < n_tokens; ++token) {
    for (int head = 0; head < shape.n_kv_heads; ++head) {
      const size_t group = static_cast<size_t>(token / kKvGroup) * shape.n_kv_heads + head;
      body(groups + group * KvGroupBytes(shape), token % kKvGroup,
           (static_cast<size_t>(token) * shape.n_kv_heads + head) * shape.head_dim);
    }
  }
}

}  // namespace

void DecodeKeys(const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                const float* rotations, float* keys) {
  const int n = shape.n_channels();
  const int bits = CodeBits(shape.format);
  const bool by_token = shape.key_groups == KeyGroups::kToken;
  ForRows(shape, groups, n_tokens, [&](const uint8_t* group, int token, size_t at) {
    for (int c = 0; c < shape.head_dim; ++c) {
      const int range = by_token ? token : c;
      keys[at + c] = HalfAt(group, (by_token ? kKvGroup : n) + range) +
                     HalfAt(group, range) *
                         static_cast<float>(CodeAt(group + 4 * n, bits, c / 4, token, c % 4));
    }
  });
  if (shape.key_groups != KeyGroups::kChannelFirst) return;
  std::vector<float> table(shape.n_rot);
  for (int token = 0; token < n_tokens; ++token) {
    const float* tile = rotations + static_cast<size_t>(token / 64) * shape.n_rot * 64;
    for (int i = 0; i < shape.n_rot; ++i) table[i] = tile[i * 64 + token % 64];
    float* row = keys + static_cast<size_t>(token) * shape.n_kv_heads * shape.head_dim;
    ApplyRope(shape.pairs, table.data(), shape.n_rot, shape.n_kv_heads, shape.head_dim, row, row);
  }
}

void DecodeValues(const KvGroupShape& shape, const uint8_t* groups, int n_tokens, float* values) {
  const int n = shape.n_channels();
  const int bits = CodeBits(shape.format);
  ForRows(shape, groups, n_tokens, [&](const uint8_t* group, int token, size_t at) {
    for (int c = 0; c < shape.head_dim; ++c) {
      const int range = c / 32 * 32 + token;
      const uint8_t* panel = group + 4 * n + c / 32 * 128 * bits;
      values[at + c] = HalfAt(group, n + range) +
                       HalfAt(group, range) *
                           static_cast<float>(CodeAt(panel, bits, token / 4, c % 32, token % 4));
    }
  });
}

}  // namespace dki::kernels::reference
