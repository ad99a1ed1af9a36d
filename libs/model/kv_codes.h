// SPDX-License-Identifier: Apache-2.0
// Purpose: the keys and values of a full page in the formats of its shape's codec, beside the
// floats.
// Thread-safety: thread-compatible; layers are independent of each other. Ownership: owns its
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/isa.h"
#include "libs/model/kv_shape.h"

namespace dki::model {

class KvCodes {
 public:
  // REQUIRES: shape.codec.codes_any().
  explicit KvCodes(const KvShape& shape);

  // keys, values: [kPageTokens, n_kv_heads, head_dim]. key_rotations: of the page's tokens, for
  // codecs that quantise keys before their rotation.
  void Encode(kernels::Isa isa, int layer, const float* keys, const float* values,
              const float* key_rotations);

  // What a kernels::KvSegment points at; null for a plane that stays in f32.
  const void* keys(int layer) const;
  const void* values(int layer) const;
  size_t size_bytes() const { return data_.size() * sizeof(Line); }

 private:
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  Line* Keys(int layer) { return data_.data() + layer * (key_lines_ + value_lines_); }
  Line* Values(int layer) { return Keys(layer) + key_lines_; }

  const KvShape shape_;
  const size_t key_lines_;  // of a layer
  const size_t value_lines_;
  std::vector<Line> data_;  // [n_layers, keys and values]
};

}  // namespace dki::model
