// SPDX-License-Identifier: Apache-2.0
// Lanes first: the templates below are written in them.
#include "kernels/cpu/kv_lanes_avx2.h"

#include "kernels/cpu/panel_avx2.h"

#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/attention_kernels.h"
#include "kernels/cpu/kv_codec_impl.h"

namespace dki::kernels::avx2 {

void Attention(const AttentionOp& op, int begin, int end) {
  AttentionUnits(op, begin, end);
}
void EncodeKeys(const KvGroupShape& shape, const float* keys, int n_tokens, const float* rotations,
                uint8_t* groups) {
  EncodeAllKeys(shape, keys, n_tokens, rotations, groups);
}
void EncodeValues(const KvGroupShape& shape, const float* values, int n_tokens, uint8_t* groups) {
  EncodeAllValues(shape, values, n_tokens, groups);
}
void DecodeKeys(const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                const float* rotations, float* keys) {
  DecodeAllKeys(shape, groups, n_tokens, rotations, keys);
}
void DecodeValues(const KvGroupShape& shape, const uint8_t* groups, int n_tokens, float* values) {
  DecodeAllValues(shape, groups, n_tokens, values);
}

}  // namespace dki::kernels::avx2
