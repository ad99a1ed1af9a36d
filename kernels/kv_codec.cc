// SPDX-License-Identifier: Apache-2.0
#include "kernels/kv_codec.h"

#include "kernels/attention.h"
#include "kernels/cpu/attention_kernels.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

std::vector<float> KeyRotations(const std::vector<double>& frequencies, int n_tiles) {
  const size_t n_rot = 2 * frequencies.size();
  std::vector<float> rotations(n_tiles * n_rot * kAttentionTile);
  std::vector<float> table(n_rot);
  for (int token = 0; token < n_tiles * kAttentionTile; ++token) {
    RopeTable(token, frequencies, table.data());
    float* tile = rotations.data() + token / kAttentionTile * n_rot * kAttentionTile;
    for (size_t i = 0; i < n_rot; ++i) tile[i * kAttentionTile + token % kAttentionTile] = table[i];
  }
  return rotations;
}

// The oracle has no encoder of its own: what codes mean is defined by reading them.
void EncodeKeys(Isa isa, const KvGroupShape& shape, const float* keys, int n_tokens,
                const float* rotations, uint8_t* groups) {
  if (isa == Isa::kReference) isa = Isa::kPlain;
  DKI_CALL_KV(isa, EncodeKeys, shape, keys, n_tokens, rotations, groups);
}
void EncodeValues(Isa isa, const KvGroupShape& shape, const float* values, int n_tokens,
                  uint8_t* groups) {
  if (isa == Isa::kReference) isa = Isa::kPlain;
  DKI_CALL_KV(isa, EncodeValues, shape, values, n_tokens, groups);
}
void DecodeKeys(Isa isa, const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                const float* rotations, float* keys) {
  if (isa == Isa::kReference)
    return reference::DecodeKeys(shape, groups, n_tokens, rotations, keys);
  DKI_CALL_KV(isa, DecodeKeys, shape, groups, n_tokens, rotations, keys);
}
void DecodeValues(Isa isa, const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                  float* values) {
  if (isa == Isa::kReference) return reference::DecodeValues(shape, groups, n_tokens, values);
  DKI_CALL_KV(isa, DecodeValues, shape, groups, n_tokens, values);
}

}  // namespace dki::kernels
