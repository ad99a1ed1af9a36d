// SPDX-License-Identifier: Apache-2.0
#include "libs/model/kv_codes.h"

#include "kernels/dtype.h"
#include "kernels/kv_codec.h"

namespace dki::model {
namespace {

using kernels::KvFormat;

kernels::KvGroupShape GroupShape(const KvShape& shape, KvFormat format) {
  return {format,         shape.codec.key_groups, shape.n_kv_heads,
          shape.head_dim, shape.codec.pairs,      shape.codec.n_rot};
}

// 64-byte lines of a page's plane; none for f32, which is read where it is.
size_t Lines(const KvShape& shape, KvFormat format) {
  if (format == KvFormat::kF32) return 0;
  const size_t bytes = kernels::IsQuantized(format)
                           ? kernels::KvGroups(kPageTokens) * shape.n_kv_heads *
                                 kernels::KvGroupBytes(GroupShape(shape, format))
                           : size_t{2} * kPageTokens * shape.row_size();
  return (bytes + 63) / 64;
}

void EncodeHalves(KvFormat format, const float* from, size_t n, uint8_t* to) {
  kernels::QuantizeRow(format == KvFormat::kF16 ? kernels::DType::kF16 : kernels::DType::kBF16,
                       from, n, to);
}

}  // namespace

KvCodes::KvCodes(const KvShape& shape)
    : shape_(shape),
      key_lines_(Lines(shape, shape.codec.keys)),
      value_lines_(Lines(shape, shape.codec.values)),
      data_(shape.n_layers * (key_lines_ + value_lines_)) {}

void KvCodes::Encode(kernels::Isa isa, int layer, const float* keys, const float* values,
                     const float* key_rotations) {
  const KvCodec& codec = shape_.codec;
  const size_t n = static_cast<size_t>(kPageTokens) * shape_.row_size();
  if (kernels::IsQuantized(codec.keys)) {
    kernels::EncodeKeys(isa, GroupShape(shape_, codec.keys), keys, kPageTokens, key_rotations,
                        Keys(layer)->bytes);
  } else if (codec.codes_keys()) {
    EncodeHalves(codec.keys, keys, n, Keys(layer)->bytes);
  }
  if (kernels::IsQuantized(codec.values)) {
    kernels::EncodeValues(isa, GroupShape(shape_, codec.values), values, kPageTokens,
                          Values(layer)->bytes);
  } else if (codec.codes_values()) {
    EncodeHalves(codec.values, values, n, Values(layer)->bytes);
  }
}

const void* KvCodes::keys(int layer) const {
  return key_lines_ == 0 ? nullptr : const_cast<KvCodes*>(this)->Keys(layer);
}
const void* KvCodes::values(int layer) const {
  return value_lines_ == 0 ? nullptr : const_cast<KvCodes*>(this)->Values(layer);
}

}  // namespace dki::model
